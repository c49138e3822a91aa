use model::verbs::*;

use crate::fixture::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_born_with_standard_folders() {
    let f = fixture().await;
    let s = f.session(1);
    let query = FolderQuery { patterns: vec![Pattern("*".into())], status: true, ..FolderQuery::default() };
    let rows = s.list(query).await;
    let names: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.special.map(SpecialUse::name))).collect();
    let expected = [
        ("Archive", Some("\\Archive")),
        ("Drafts", Some("\\Drafts")),
        ("INBOX", None),
        ("Junk", Some("\\Junk")),
        ("Sent", Some("\\Sent")),
        ("Trash", Some("\\Trash")),
    ];
    assert_eq!(names, expected);
    assert!(rows.iter().all(|row| row.subscribed && !row.has_children && row.id.is_some()));
    assert!(rows.iter().all(|row| row.status.unwrap().messages == 0 && row.status.unwrap().uidnext.0 == 1));
    let query = FolderQuery { patterns: vec![Pattern("*".into())], special_use: true, ..FolderQuery::default() };
    assert_eq!(s.list(query).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn parents_are_made_and_a_deleted_one_stays_as_a_name() {
    let f = fixture().await;
    let s = f.session(1);
    s.create("a/b/c").await.unwrap();
    assert_eq!(s.names("a*").await, ["a", "a/b", "a/b/c"]);
    assert_eq!(s.names("a/%").await, ["a/b"]);
    assert_eq!(s.create("a/b").await.unwrap_err().code, Code::AlreadyExists);
    s.delete("a/b").await.unwrap();
    let rows = s.list(FolderQuery { patterns: vec![Pattern("a*".into())], ..FolderQuery::default() }).await;
    let seen: Vec<_> = rows.iter().map(|r| (r.name.as_str(), r.id.is_some(), r.has_children)).collect();
    assert_eq!(seen, [("a", true, true), ("a/b", false, true), ("a/b/c", true, false)]);
    assert_eq!(s.delete("a/b").await.unwrap_err().code, Code::NonExistent);
    assert_eq!(s.delete("INBOX").await.unwrap_err().code, Code::Cannot);
    assert_eq!(s.delete("inbox").await.unwrap_err().code, Code::Cannot);
    for bad in ["", "a//b", "/a", "a/", "x\u{7}y"] {
        assert_eq!(s.create(bad).await.unwrap_err().code, Code::Cannot, "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rename_takes_children_along_and_views_survive_it() {
    let f = fixture().await;
    let s = f.session(1);
    s.create("old/deep/er").await.unwrap();
    s.append("old/deep", "Subject: x\r\n\r\ny").await.unwrap();
    let selected = s.select("old/deep").await;
    s.rename("old", "new/place").await.unwrap();
    assert_eq!(s.names("*").await.iter().filter(|n| n.starts_with("old")).count(), 0);
    assert_eq!(s.names("new*").await, ["new", "new/place", "new/place/deep", "new/place/deep/er"]);
    let again = s.select("new/place/deep").await;
    assert_eq!(
        (again.folder, again.uidvalidity, again.uids),
        (selected.folder, selected.uidvalidity, selected.uids.clone())
    );
    assert!(!s.sync(&view(&selected)).await.deleted);
    assert_eq!(s.rename("new", "new/x").await.unwrap_err().code, Code::Cannot);
    assert_eq!(s.rename("nothing", "x").await.unwrap_err().code, Code::NonExistent);
    assert_eq!(s.rename("new", "Sent").await.unwrap_err().code, Code::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn rename_of_inbox_moves_its_messages() {
    let f = fixture().await;
    let (s, other) = (f.session(1), f.session(2));
    s.create("INBOX/below").await.unwrap();
    s.append("INBOX", "Subject: one\r\n\r\n1").await.unwrap();
    let watching = view(&other.select("INBOX").await);
    s.rename("inbox", "saved").await.unwrap();
    assert_eq!(s.bodies("saved").await, [b"Subject: one\r\n\r\n1"]);
    assert!(s.bodies("INBOX").await.is_empty());
    assert_eq!(other.sync(&watching).await.vanished, uids("1"));
    assert_eq!(s.names("INBOX*").await, ["INBOX", "INBOX/below"]);
    assert_eq!(s.quota().await.messages, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_made_again_has_another_uidvalidity_and_the_old_view_ends() {
    let f = fixture().await;
    let s = f.session(1);
    s.create("x").await.unwrap();
    s.append("x", "a: b\r\n\r\n").await.unwrap();
    let first = s.select("x").await;
    s.delete("x").await.unwrap();
    assert_eq!(s.quota().await.messages, 0);
    s.create("x").await.unwrap();
    let second = s.select("x").await;
    assert!(second.uidvalidity > first.uidvalidity);
    assert_ne!(second.folder, first.folder);
    assert!(s.sync(&view(&first)).await.deleted);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_need_no_folder() {
    let f = fixture().await;
    let s = f.session(1);
    s.change(FolderChange::Subscribe { name: "ghost".into(), on: true }).await.unwrap();
    s.change(FolderChange::Subscribe { name: "Junk".into(), on: false }).await.unwrap();
    let query = FolderQuery { patterns: vec![Pattern("*".into())], subscribed: true, ..FolderQuery::default() };
    let rows = s.list(query).await;
    assert!(rows.iter().any(|row| row.name == "ghost" && row.id.is_none()));
    assert!(rows.iter().all(|row| row.name != "Junk"));
    assert!(!s.names("*").await.contains(&"ghost".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_counts_and_recent_is_taken_by_one_session() {
    let f = fixture().await;
    let s = f.session(1);
    let query = FolderQuery { patterns: vec![Pattern("INBOX".into())], status: true, ..FolderQuery::default() };
    s.append("INBOX", "a: b\r\n\r\n12345").await.unwrap();
    let (append, body) = s.appending("INBOX", &["\\Seen", "\\Deleted"], "a: b\r\n\r\n");
    s.mailbox.append(s.id, append, body).await.unwrap();
    let status = s.list(query.clone()).await[0].status.unwrap();
    assert_eq!((status.messages, status.unseen, status.deleted, status.recent, status.bytes), (2, 1, 1, 2, 21));
    let examined = s.ask(Request::Select { name: "INBOX".into(), read_only: true }).await.unwrap();
    assert!(matches!(examined, Answer::Selected(selected) if selected.recent_from.0 == 1));
    assert_eq!(s.select("INBOX").await.recent_from.0, 1);
    assert_eq!(s.select("INBOX").await.recent_from.0, 3);
    assert_eq!(s.list(query).await[0].status.unwrap().recent, 0);
}
