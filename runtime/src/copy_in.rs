//! Secrets and configs that are copied into a created container, as one tar archive.

use std::io::Cursor;

use compose_planner::spec::FileSpec;

use crate::dispatch::Context;
use crate::error::{Result, RuntimeError};
use crate::event::Completion;

/// Copies the files. Their contents are read only now, and are held no longer than the call.
pub(crate) async fn copy_in(context: Context<'_>, container: &str, files: &[FileSpec]) -> Result<Completion> {
    let mut archive = tar::Builder::new(Vec::new());
    for file in files {
        let content = context.contents.read(&file.content, &file.name, file.secret)?;
        append(&mut archive, file, &content)
            .map_err(|error| RuntimeError::Local { message: format!("cannot pack {}: {error}", file.name) })?;
    }
    let bytes = archive
        .into_inner()
        .map_err(|error| RuntimeError::Local { message: format!("cannot pack files for the container: {error}") })?;
    // Owners are those of the archive's headers, not the container's user.
    context.runtime.streams().put_archive(container, "/", Box::pin(Cursor::new(bytes)), false).await?;
    Ok(Completion::Done)
}

fn append(archive: &mut tar::Builder<Vec<u8>>, file: &FileSpec, content: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(content.len() as u64);
    header.set_mode(file.mode);
    header.set_uid(number(&file.uid)?);
    header.set_gid(number(&file.gid)?);
    header.set_mtime(0);
    archive.append_data(&mut header, inside(&file.target), content)
}

fn number(owner: &str) -> std::io::Result<u64> {
    if owner.is_empty() {
        return Ok(0);
    }
    owner.parse().map_err(|_| std::io::Error::other(format!("`{owner}` is no numeric owner")))
}

/// The path below the root, without `.` and `..`.
fn inside(target: &str) -> String {
    let mut parts = Vec::new();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use compose_planner::spec::FileContent;

    use super::*;

    #[test]
    fn owner_mode_and_path_of_a_file_are_those_of_the_specification() {
        let file = FileSpec {
            object: String::new(),
            secret: true,
            name: "shop_key".into(),
            target: format!("/run//secrets/../secrets/{}", "k".repeat(150)),
            content: FileContent::Environment { variable: "KEY".into() },
            uid: "103".into(),
            gid: String::new(),
            mode: 0o440,
        };
        let mut archive = tar::Builder::new(Vec::new());
        append(&mut archive, &file, b"hush").unwrap();
        let bytes = archive.into_inner().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path().unwrap().to_str().unwrap(), format!("run/secrets/{}", "k".repeat(150)));
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap()), (103, 0, 0o440));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hush");
    }

    #[test]
    fn a_name_is_no_owner() {
        assert!(number("www").is_err());
    }
}
