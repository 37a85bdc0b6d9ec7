use super::*;

#[test]
fn rollup_is_read_by_name() {
    let text = "5581d4000000-7ffc7a3fe000 ---p 00000000 00:00 0    [rollup]\n\
                Rss:                2048 kB\nPss:                1500 kB\n\
                Pss_Dirty:           900 kB\nPss_Anon:            800 kB\n";
    assert_eq!(Held::parse(text), Some(Held { pss: 1500 * 1024, rss: 2048 * 1024 }));
    assert_eq!(Held::parse("Rss: 1 kB\n"), None);
}

#[test]
fn kernel_is_read_from_two_files() {
    let meminfo = "MemTotal:  24683520 kB\nSlab:  100 kB\nSReclaimable: 40 kB\nSUnreclaim: 60 kB\n";
    let sockstat =
        "sockets: used 40\nTCP: inuse 5 orphan 1 tw 2 alloc 9 mem 3\nUDP: inuse 1 mem 2\n";
    let kernel = Kernel::parse(meminfo, sockstat).unwrap();
    assert_eq!((kernel.slab, kernel.slab_unreclaimable), (102_400, 61_440));
    assert_eq!((kernel.tcp_buffers, kernel.tcp_sockets), (3 * 4096, 9));
    assert_eq!(Kernel::parse(meminfo, "sockets: used 40\n"), None);
}

#[test]
fn growth_may_be_negative() {
    let (early, late) = (Held { pss: 5, rss: 9 }, Held { pss: 3, rss: 10 });
    assert_eq!(late.since(early), Held { pss: -2, rss: 1 });
}

#[test]
fn this_machine_can_be_read() {
    assert!(Held::of_process(std::process::id()).unwrap().pss > 0);
    assert!(Kernel::read().unwrap().slab > 0);
}
