use super::*;

#[test]
fn a_second_holder_learns_whom_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let held = lock_exclusive(&path).unwrap();
    let error = lock_exclusive(&path).unwrap_err();
    let holder = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&holder), "{error}");
    assert!(error.is_held());
    assert!(error.hint().unwrap().contains(&holder));
    drop(held);
    lock_exclusive(&path).unwrap();
}

#[test]
fn a_lock_that_cannot_say_who_has_it_is_a_lock() {
    let _full = lock_exclusive(Path::new("/dev/full")).unwrap();
}

#[test]
fn a_lock_in_a_folder_that_does_not_exist_is_an_error_with_its_path() {
    let error = lock_exclusive(Path::new("/nonexistent/lock")).unwrap_err();
    assert!(error.to_string().contains("/nonexistent/lock"), "{error}");
}
