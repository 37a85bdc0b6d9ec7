//! What opening a store changes, and what it leaves as it is.

use std::{collections::BTreeMap, sync::Arc};

use super::{OPTIONS, batch, open, publish, session};
use crate::{
    conformance::submit,
    disk::{Disk, File, SimulatedDisk},
    log::UnknownFormat,
    store::EmbeddedStore,
};

/// Every file, and what it has.
fn image(disk: &SimulatedDisk) -> BTreeMap<String, Vec<u8>> {
    let names = disk.names().expect("the disk is well");
    let bytes = |name: &String| {
        let file = disk.open(name).expect("it is there");
        let mut bytes = vec![0; file.size().expect("the disk is well") as usize];
        file.read_at(&mut bytes, 0).expect("the disk is well");
        bytes
    };
    names.into_iter().map(|name| (name.clone(), bytes(&name))).collect()
}

/// As a later version writes it.
fn make_newer(file: &dyn File) {
    let mut copy = [0; 36];
    for at in [0, 512] {
        file.read_at(&mut copy, at).expect("the disk is well");
        copy[8] = 2;
        let checksum = crc32fast::hash(&copy[..32]);
        copy[32..].copy_from_slice(&checksum.to_le_bytes());
        file.write_at(&copy, at).expect("the disk is well");
    }
}

#[test]
fn store_of_a_later_version_is_left_as_it_is() {
    let disk = SimulatedDisk::default();
    let store = open(&disk);
    submit(&store, batch(&[session(1)])).expect("the disk is well");
    for _ in 0..20 {
        submit(&store, batch(&[publish(&[1; 500], &[1])])).expect("the disk is well");
    }
    drop(store);
    assert!(disk.names().expect("the disk is well").contains(&"closed".to_owned()));
    // All that an opening would take away, put elsewhere or make.
    disk.remove("reserve").expect("it is there");
    disk.rename("0000000000.log", "0000000000.log.salvaging").expect("it is there");
    disk.create("0000000000.log.damaged").expect("the disk is well");
    disk.create("0000000001.log.salvaging").expect("the disk is well");
    disk.damage("0000000001.log", 700);
    assert!(disk.names().expect("the disk is well").contains(&"queues.scratch".to_owned()));
    let names = disk.names().expect("the disk is well");
    let last = names.iter().rfind(|name| name.ends_with(".log")).expect("there is a log");
    make_newer(&*disk.open(last).expect("it is there"));
    let (before, changes) = (image(&disk), disk.changes());
    let refused = EmbeddedStore::open(Arc::new(disk.clone()), OPTIONS);
    assert!(UnknownFormat::is_cause(&refused.expect_err("it is of a later version")));
    assert_eq!((image(&disk), disk.changes()), (before, changes));
}
