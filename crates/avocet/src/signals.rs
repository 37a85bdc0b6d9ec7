//! Ctrl-C and the like, for commands that are not the broker.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Runs `end` when the process is asked to end; asked once more, it ends at once.
pub(crate) fn on_end(end: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let mut wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        wait();
        end();
        wait();
        std::process::exit(1);
    })?;
    Ok(())
}
