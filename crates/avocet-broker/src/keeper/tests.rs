use avocet_storage::store::MemoryStore;

use super::*;

fn waiting(keeper: &Keeper) -> usize {
    keeper.loads.waiting.lock().items.len()
}

/// However often it is asked for while the store has no time for it.
#[test]
fn what_has_expired_is_read_by_one_at_a_time() {
    let keeper = Keeper::new(Arc::new(MemoryStore::default()));
    keeper.expire();
    keeper.expire();
    assert_eq!(waiting(&keeper), 1);
    let put_off = keeper.loads.take(false);
    keeper.expire();
    assert_eq!(waiting(&keeper), 0);
    drop(put_off);
    keeper.expire();
    assert_eq!(waiting(&keeper), 1);
}
