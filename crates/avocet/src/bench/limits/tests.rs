use super::*;

#[test]
fn limits_of_a_process_are_read() {
    let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                Max processes             95946                95946                processes \n\
                Max open files            1024                 20000                files     \n";
    assert_eq!(soft_limit(text), Some(1024));
    assert_eq!(
        soft_limit("Max open files            unlimited            unlimited   files"),
        None
    );
    assert_eq!(soft_limit(""), None);
}

#[test]
fn few_connections_have_room() {
    assert_eq!(open_files(10), Ok(()));
    assert_eq!(open_files_of(std::process::id(), 1), Ok(()));
}

#[test]
fn refusal_says_how_many_processes_would_do() {
    assert!(refusal(50_000, 20_000).contains("--processes 3 "));
    assert!(refusal(19_936, 20_000).contains("--processes 1 "));
}
