use super::*;

#[test]
fn payload_is_given_as_often_as_asked() {
    let pause = Duration::from_secs(1);
    let mut source = Source::Repeated { payload: b"x".to_vec(), left: 2, pause };
    assert_eq!(source.next(None).unwrap(), Next::Payload(b"x".to_vec()));
    assert_eq!(source.pause(), pause);
    assert_eq!(source.next(None).unwrap(), Next::Payload(b"x".to_vec()));
    assert_eq!(source.pause(), Duration::ZERO);
    assert_eq!(source.next(None).unwrap(), Next::End);
}

#[test]
fn lines_come_until_the_end() {
    let (sender, receiver) = sync_channel(2);
    let mut source = Source::Lines(receiver);
    sender.send(Ok(b"a".to_vec())).unwrap();
    assert_eq!(source.next(None).unwrap(), Next::Payload(b"a".to_vec()));
    assert_eq!(source.next(Some(Instant::now())).unwrap(), Next::Nothing);
    drop(sender);
    assert_eq!(source.next(None).unwrap(), Next::End);
}
