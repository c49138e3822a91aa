use std::os::unix::fs::PermissionsExt;

use super::*;

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_rewritten_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wal");
    rewrite(&path).unwrap();
    assert!(!path.exists());
    for size in [0, 1, REWRITTEN, REWRITTEN + 7] {
        let contents: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        fs::write(&path, &contents).unwrap();
        rewrite(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), contents);
    }
}

#[test]
fn a_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    write(&path, b"a long first version").unwrap();
    write(&path, b"second").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"second");
    assert_eq!(names(folder.path()), ["keys.json"]);
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_write_that_fails_leaves_the_old_file_and_names_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    create_dir(&path).unwrap();
    write(&path.join("inside"), b"x").unwrap();
    let error = write(&path, b"new").unwrap_err();
    assert!(error.to_string().contains("taken"), "{error}");
    assert_eq!(names(folder.path()), ["taken"]);
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"x");
}

#[test]
fn create_never_replaces_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    assert!(create(&path, b"first").unwrap());
    assert!(!create(&path, b"second").unwrap());
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(names(folder.path()), ["keys.json"]);
}

#[test]
fn folders_are_made_with_those_above_them_for_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("mailboxes/ab/abc");
    create_dir_all(&deep).unwrap();
    create_dir_all(&deep).unwrap();
    create_dir(&deep).unwrap();
    assert_eq!(mode(&deep), 0o700);
    assert_eq!(mode(&folder.path().join("mailboxes")), 0o700);
    write(&folder.path().join("file"), b"").unwrap();
    assert!(create_dir(&folder.path().join("file")).is_err(), "a file is no folder");
}

#[test]
fn what_is_gone_already_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, b"x").unwrap();
    remove(&path).unwrap();
    remove(&path).unwrap();
    remove_dir_all(&folder.path().join("nothing")).unwrap();
    assert!(names(folder.path()).is_empty());
}

#[test]
fn rename_moves_between_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (staging, home) = (folder.path().join("staging"), folder.path().join("home"));
    create_dir(&staging).unwrap();
    create_dir(&home).unwrap();
    write(&staging.join("db"), b"x").unwrap();
    rename(&staging.join("db"), &home.join("db")).unwrap();
    assert!(names(&staging).is_empty());
    assert_eq!(names(&home), ["db"]);
}

#[test]
fn leftovers_of_a_crash_are_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for name in [".keys.json.17-0.tmp", "keys.json", ".hidden", "x.tmp"] {
        fs::write(folder.path().join(name), b"x").unwrap();
    }
    assert_eq!(remove_leftovers(folder.path()).unwrap(), 1);
    assert_eq!(names(folder.path()), [".hidden", "keys.json", "x.tmp"]);
}

#[test]
fn writers_at_the_same_time_leave_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::thread::scope(|scope| {
        for n in 0..4_u8 {
            let path = &path;
            scope.spawn(move || write(path, &vec![n; 100_000]).unwrap());
        }
    });
    let found = fs::read(&path).unwrap();
    assert_eq!(found.len(), 100_000);
    assert!(found.iter().all(|b| *b == found[0]));
    assert_eq!(names(folder.path()), ["file"]);
}
