//! Copies files into running containers, and removes there what is gone here.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use compose_planner::observed::Container;
use compose_runtime::Runtime;
use compose_runtime::port::{Channel, ExecOptions, Reader};
use futures_util::StreamExt as _;
use tokio::net::unix::pipe;

use super::rules::Files;

/// Bytes of paths in one `rm` command.
const COMMAND_LINE: usize = 64 * 1024;

/// Brings the files into one container.
pub(crate) async fn into_container(runtime: &dyn Runtime, container: &Container, files: &Files) -> anyhow::Result<()> {
    let name = container.name.as_str();
    if !files.remove.is_empty() && container.state.is_up() {
        remove(runtime, container, files).await.with_context(|| format!("cannot remove files in {name}"))?;
    }
    if !files.copy.is_empty() {
        copy(runtime, container, files).await.with_context(|| format!("cannot copy files into {name}"))?;
    }
    Ok(())
}

async fn copy(runtime: &dyn Runtime, container: &Container, files: &Files) -> anyhow::Result<()> {
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let list: Vec<(String, PathBuf)> = files.copy.iter().map(|(to, from)| (to.clone(), from.clone())).collect();
    let packing = tokio::task::spawn_blocking(move || pack(&list, writer));
    let archive: Reader = Box::pin(pipe::Receiver::from_owned_fd(reader.into())?);
    let sent = runtime.streams().put_archive(container.id.as_str(), "/", archive, false).await;
    match packing.await? {
        // The engine's refusal closes the pipe; its words are the cause.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result.context("cannot read the files")?,
    }
    Ok(sent?)
}

/// Writes files as an archive. They belong to root in the container, as in an image that is built.
fn pack(files: &[(String, PathBuf)], writer: impl io::Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(64 * 1024, writer));
    for (target, source) in files {
        match append(&mut archive, target.trim_start_matches('/'), source) {
            // It has gone meanwhile, which is told by itself.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", source.display()))),
            Ok(()) => {}
        }
    }
    archive.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

fn append(archive: &mut tar::Builder<impl io::Write>, target: &str, source: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(source)?;
    let kind = metadata.file_type();
    let mut header = tar::Header::new_gnu();
    header.set_metadata(&metadata);
    header.set_uid(0);
    header.set_gid(0);
    if kind.is_symlink() {
        return archive.append_link(&mut header, target, fs::read_link(source)?);
    }
    if kind.is_dir() {
        return if target.is_empty() {
            Ok(())
        } else {
            archive.append_data(&mut header, format!("{target}/"), io::empty())
        };
    }
    if !kind.is_file() {
        return Ok(());
    }
    // A file that grows meanwhile is cut; one that shrinks is filled up: the archive stays whole,
    // and the change that is under way is told by itself.
    let file = fs::File::open(source)?;
    let size = file.metadata()?.len();
    header.set_size(size);
    archive.append_data(&mut header, target, file.take(size).chain(io::repeat(0)).take(size))
}

/// Engines can only add files to a container; what is to go is removed by the container's own `rm`.
async fn remove(runtime: &dyn Runtime, container: &Container, files: &Files) -> anyhow::Result<()> {
    for paths in portions(files.remove.iter().map(String::as_str)) {
        let command = ["rm", "-rf", "--"].into_iter().chain(paths).map(str::to_owned).collect();
        let options = ExecOptions { command, user: "0".to_owned(), ..ExecOptions::default() };
        let (code, said) = execute(runtime, container, &options, &mut |_, _| Ok(())).await?;
        if code != 0 {
            bail!("`rm` ended with code {code}: {}", said.trim());
        }
    }
    Ok(())
}

/// Paths in groups that fit into a command line.
fn portions<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<Vec<&'a str>> {
    let mut portions: Vec<Vec<&str>> = Vec::new();
    let mut length = COMMAND_LINE;
    for path in paths {
        if length + path.len() + 1 > COMMAND_LINE {
            portions.push(Vec::new());
            length = 0;
        }
        length += path.len() + 1;
        if let Some(last) = portions.last_mut() {
            last.push(path);
        }
    }
    portions
}

/// Receives output of a command.
pub(crate) type OutputSink<'a> = &'a mut dyn FnMut(Channel, &[u8]) -> io::Result<()>;

/// Executes a command to its end and returns its exit code, and the end of what it said.
pub(crate) async fn execute(
    runtime: &dyn Runtime,
    container: &Container,
    options: &ExecOptions,
    sink: OutputSink<'_>,
) -> anyhow::Result<(i64, String)> {
    /// As much as a message is good for.
    const KEPT: usize = 1024;
    let id = container.id.as_str();
    let mut exec = runtime.streams().exec(id, options).await?;
    let mut said: Vec<u8> = Vec::new();
    if let Some(session) = exec.session.as_mut() {
        while let Some(chunk) = session.output.next().await {
            let chunk = chunk?;
            sink(chunk.channel, &chunk.bytes)?;
            said.extend_from_slice(&chunk.bytes);
            said.drain(..said.len().saturating_sub(KEPT));
        }
    }
    let code = runtime.streams().exec_exit_code(id, &exec.id).await?;
    Ok((code, String::from_utf8_lossy(&said).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_grouped_by_the_length_of_a_command_line() {
        let long = "x".repeat(COMMAND_LINE - 2);
        assert_eq!(portions(["a", "b", long.as_str(), "c"].into_iter()), [vec!["a", "b"], vec![&long], vec!["c"]]);
        assert!(portions(std::iter::empty()).is_empty());
    }

    #[test]
    fn an_archive_holds_what_is_still_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "text").expect("written");
        fs::create_dir(path("directory")).expect("made");
        std::os::unix::fs::symlink("file", path("link")).expect("linked");
        let list: Vec<(String, PathBuf)> =
            ["file", "gone", "directory", "link"].iter().map(|name| (format!("/app/{name}"), path(name))).collect();
        let mut bytes = Vec::new();
        pack(&list, &mut bytes).expect("packed");
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries: Vec<(String, u64)> = archive
            .entries()
            .expect("entries")
            .map(|entry| {
                let entry = entry.expect("good");
                (entry.path().expect("a path").display().to_string(), entry.header().uid().expect("an owner"))
            })
            .collect();
        let expected = ["app/file", "app/directory/", "app/link"].map(|name| (name.to_owned(), 0));
        assert_eq!(entries, expected);
    }
}
