//! Changes on a real file system.

use std::path::Path;
use std::time::Duration;

use super::*;

/// Sources below a folder, with what was there before being known.
fn watch(folder: &Path) -> Sources {
    Sources::watch(vec![folder.to_owned()], Box::new(|path| path.ends_with("skipped"))).expect("watched")
}

/// Collects changes until the last one is what is waited for.
async fn until(sources: &mut Sources, done: impl Fn(&Changes) -> bool) -> Changes {
    let mut all = Changes::default();
    let collect = async {
        while !done(&all) {
            sources.notice().await;
            all.extend(sources.look().expect("looked"));
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(30), collect).await;
    assert!(in_time.is_ok(), "so far: {all:?}");
    all
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().canonicalize().expect("a path");
    (folder, path)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, text).expect("written");
}

/// Looks until a notice of the file is known to mean nothing. As long as the clock may not have
/// moved since the last write, each may mean a further one.
fn settle(sources: &mut Sources, file: &Path) {
    let begun = std::time::Instant::now();
    loop {
        sources.take(Signal::Touched { path: file.to_owned(), gone: false });
        if !sources.look().expect("looked").written.contains(file) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is written again and again");
    }
}

#[tokio::test]
async fn a_burst_of_five_thousand_files_in_new_directories_is_seen_whole() {
    let (_keep, root) = folder();
    let mut sources = watch(&root);
    let files: Vec<PathBuf> =
        (0..5000).map(|number| root.join(format!("{}/{}/{number}", number % 7, number % 50))).collect();
    for file in &files {
        write(file, "text");
    }
    let changes =
        until(&mut sources, |changes| changes.written.iter().filter(|path| path.is_file()).count() == 5000).await;
    assert!(files.iter().all(|file| changes.written.contains(file)));
    assert_eq!(changes.removed, BTreeSet::new());
    for file in &files {
        fs::remove_file(file).expect("removed");
    }
    let changes = until(&mut sources, |changes| changes.removed.len() >= 5000).await;
    assert!(files.iter().all(|file| changes.removed.contains(file)));
}

#[tokio::test]
async fn what_a_lost_notice_would_have_told_is_found_by_comparing() {
    let (_keep, root) = folder();
    for name in ["same", "written", "gone/a", "gone/b", "file"] {
        write(&root.join(name), "old");
    }
    let mut sources = watch(&root);
    settle(&mut sources, &root.join("same"));
    write(&root.join("written"), "new");
    write(&root.join("new/deep/file"), "new");
    fs::remove_dir_all(root.join("gone")).expect("removed");
    fs::remove_file(root.join("file")).expect("removed");
    write(&root.join("file/now-a-directory"), "new");
    // All notices are thrown away.
    until(&mut sources, |changes| changes.written.contains(&root.join("file/now-a-directory"))).await;
    sources.entries.remove(&root.join("new/deep/file"));
    sources.entries.insert(root.join("ghost/inner"), sources.entries[&root.join("same")]);
    sources.lost = true;
    let changes = sources.look().expect("looked");
    assert!(changes.written.contains(&root.join("new/deep/file")), "{changes:?}");
    assert!(!changes.written.contains(&root.join("same")), "{changes:?}");
    assert_eq!(changes.removed, BTreeSet::from([root.join("ghost/inner")]));
    // What is new is watched, too.
    write(&root.join("new/deep/later"), "new");
    until(&mut sources, |changes| changes.written.contains(&root.join("new/deep/later"))).await;
}

#[tokio::test]
async fn a_renamed_directory_goes_and_comes_and_is_watched_under_its_new_name() {
    let (_keep, root) = folder();
    write(&root.join("old/inner/file"), "text");
    let mut sources = watch(&root);
    fs::rename(root.join("old"), root.join("new")).expect("renamed");
    let changes = until(&mut sources, |changes| {
        changes.removed.contains(&root.join("old")) && changes.written.contains(&root.join("new/inner/file"))
    })
    .await;
    assert_eq!(changes.removed, BTreeSet::from([root.join("old")]));
    write(&root.join("new/inner/file"), "other");
    let changes = until(&mut sources, |changes| changes.written.contains(&root.join("new/inner/file"))).await;
    assert_eq!(changes.removed, BTreeSet::new());
}

#[tokio::test]
async fn a_directory_that_is_made_anew_loses_its_old_files() {
    let (_keep, root) = folder();
    write(&root.join("made/old"), "text");
    let mut sources = watch(&root);
    fs::remove_dir_all(root.join("made")).expect("removed");
    write(&root.join("made/new"), "text");
    let changes = until(&mut sources, |changes| changes.written.contains(&root.join("made/new"))).await;
    assert!(
        changes.removed.contains(&root.join("made")) || changes.removed.contains(&root.join("made/old")),
        "{changes:?}"
    );
    fs::write(root.join("made/later"), "text").expect("written");
    until(&mut sources, |changes| changes.written.contains(&root.join("made/later"))).await;
}

#[tokio::test]
async fn a_file_that_an_editor_replaces_is_written_and_not_removed() {
    let (_keep, root) = folder();
    let file = root.join("file");
    write(&file, "old");
    let mut sources = Sources::watch(vec![file.clone()], Box::new(|_| false)).expect("watched");
    for text in ["new", "newer"] {
        write(&root.join("file~"), text);
        fs::rename(root.join("file~"), &file).expect("renamed");
        let changes = until(&mut sources, |changes| changes.written.contains(&file)).await;
        assert_eq!((changes.removed, changes.written.len()), (BTreeSet::new(), 1));
    }
}

#[tokio::test]
async fn a_path_that_is_not_there_yet_is_awaited_and_one_that_comes_back_is_watched_again() {
    let (_keep, root) = folder();
    let wanted = root.join("a/b/c");
    let mut sources = watch(&wanted);
    write(&wanted.join("file"), "text");
    until(&mut sources, |changes| changes.written.contains(&wanted.join("file"))).await;
    fs::remove_dir_all(root.join("a")).expect("removed");
    let changes = until(&mut sources, |changes| !changes.removed.is_empty()).await;
    assert_eq!(changes.removed, BTreeSet::from([wanted.join("file")]), "the root itself stays in the container");
    write(&wanted.join("again"), "text");
    until(&mut sources, |changes| changes.written.contains(&wanted.join("again"))).await;
    fs::write(wanted.join("later"), "text").expect("written");
    until(&mut sources, |changes| changes.written.contains(&wanted.join("later"))).await;
}

#[tokio::test]
async fn what_is_skipped_is_not_watched() {
    let (_keep, root) = folder();
    write(&root.join("skipped/file"), "text");
    let mut sources = watch(&root);
    write(&root.join("skipped/file"), "other");
    write(&root.join("seen"), "text");
    let changes = until(&mut sources, |changes| changes.written.contains(&root.join("seen"))).await;
    assert_eq!(changes.written, BTreeSet::from([root.join("seen")]));
    assert!(!sources.watched.contains(&root.join("skipped")));
}

#[tokio::test]
async fn a_notice_that_comes_late_is_no_change_and_a_later_write_is_one() {
    let (_keep, root) = folder();
    let mut sources = watch(&root);
    let file = root.join("file");
    write(&file, "1");
    until(&mut sources, |changes| changes.written.contains(&file)).await;
    settle(&mut sources, &file);
    write(&file, "2");
    until(&mut sources, |changes| changes.written.contains(&file)).await;
}
