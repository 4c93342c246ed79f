//! Files between this machine and a container, as tar archives, with the rules of `cp`.

use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail};
use compose_runtime::Runtime;
use compose_runtime::port::{PathStat, Reader};
use tokio::net::unix::pipe;

/// How files are copied.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CopyOptions {
    /// Keep owner and group.
    pub(crate) archive: bool,
    /// Copy what a link points to.
    pub(crate) follow: bool,
}

/// Looks at a path of a container, through one link.
async fn look(runtime: &dyn Runtime, container: &str, path: &str) -> anyhow::Result<Option<PathStat>> {
    let found = runtime.streams().stat_path(container, path).await?;
    match found {
        Some(stat) if !stat.link_target.is_empty() => {
            let target = crate::words::absolute(&stat.link_target, parent(path));
            Ok(runtime.streams().stat_path(container, &target).await?.or(Some(stat)))
        }
        other => Ok(other),
    }
}

/// Without a slash at the end; the root is only that.
fn without_slash(path: &str) -> &str {
    let short = path.trim_end_matches('/');
    if short.is_empty() { "/" } else { short }
}

fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

fn base(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
}

/// Copies a local path into a container.
pub(crate) async fn into_container(
    runtime: &dyn Runtime,
    container: &str,
    source: &Path,
    target: &str,
    options: CopyOptions,
) -> anyhow::Result<()> {
    let shown = source.display().to_string();
    let metadata = if options.follow { std::fs::metadata(source) } else { std::fs::symlink_metadata(source) };
    let metadata = metadata.with_context(|| format!("cannot copy {shown}"))?;
    let target = crate::words::absolute(target, "/") + if target.ends_with('/') { "/" } else { "" };
    let there = look(runtime, container, without_slash(&target)).await?;
    let contents_only = shown.ends_with("/.") || shown == ".";
    let (directory, name) = match there {
        Some(stat) if stat.is_directory && contents_only => (target.clone(), String::new()),
        Some(stat) if stat.is_directory => {
            let name = source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            (target.clone(), name)
        }
        Some(_) if metadata.is_dir() => bail!("cannot copy directory {shown} to {target}: it is no directory"),
        None if target.ends_with('/') && !metadata.is_dir() => bail!("no such directory in the container: {target}"),
        _ => (parent(&target).to_owned(), base(&target).to_owned()),
    };
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let source = source.to_owned();
    let packing = tokio::task::spawn_blocking(move || pack(&source, &name, options, writer));
    let archive: Reader = Box::pin(pipe::Receiver::from_owned_fd(reader.into())?);
    let sent = runtime.streams().put_archive(container, &directory, archive, options.archive).await;
    match packing.await? {
        // The engine's refusal closes the pipe; its words are the cause.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {shown}")),
        Ok(()) => {}
    }
    Ok(sent?)
}

/// Writes a path as an archive; an empty name packs the contents of a directory.
fn pack(source: &Path, name: &str, options: CopyOptions, writer: io::PipeWriter) -> io::Result<()> {
    let mut builder = tar::Builder::new(io::BufWriter::with_capacity(64 * 1024, writer));
    builder.follow_symlinks(options.follow);
    let metadata = if options.follow { std::fs::metadata(source)? } else { std::fs::symlink_metadata(source)? };
    if metadata.is_dir() {
        builder.append_dir_all(if name.is_empty() { "." } else { name }, source)?;
    } else {
        builder.append_path_with_name(source, name)?;
    }
    builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

/// Copies a path of a container to a local one.
pub(crate) async fn from_container(
    runtime: &dyn Runtime,
    container: &str,
    source: &str,
    target: &Path,
    options: CopyOptions,
) -> anyhow::Result<()> {
    let mut path = source.to_owned();
    let Some(stat) = runtime.streams().stat_path(container, without_slash(source)).await? else {
        bail!("no such file in the container: {source}");
    };
    if options.follow && !stat.link_target.is_empty() {
        path = crate::words::absolute(&stat.link_target, parent(source));
    }
    let contents_only = source.ends_with("/.");
    let shown = target.display().to_string();
    let destination: PathBuf = if target.is_dir() {
        if contents_only { target.to_owned() } else { target.join(base(&path)) }
    } else if shown.ends_with('/') && !stat.is_directory {
        bail!("no such directory: {shown}");
    } else {
        target.to_owned()
    };
    let mut archive = runtime.streams().get_archive(container, &path).await?;
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let to = destination.clone();
    let unpacking = tokio::task::spawn_blocking(move || unpack(reader, &to, options));
    let mut sender = pipe::Sender::from_owned_fd(writer.into())?;
    let received = tokio::io::copy(&mut archive, &mut sender).await;
    drop(sender);
    unpacking.await?.with_context(|| format!("cannot write {}", destination.display()))?;
    received?;
    Ok(())
}

/// Unpacks an archive whose only root becomes `destination`.
fn unpack(reader: io::PipeReader, destination: &Path, options: CopyOptions) -> io::Result<()> {
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(64 * 1024, reader));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(options.archive);
    // Directories get their permissions last, so that their content can be written.
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let mut parts = path.components().filter(|part| *part != Component::CurDir);
        parts.next();
        let rest: PathBuf = parts.collect();
        if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!("the archive holds a path that leads outside: {}", path.display())));
        }
        let to = if rest.as_os_str().is_empty() { destination.to_owned() } else { destination.join(rest) };
        if entry.header().entry_type().is_dir() {
            std::fs::create_dir_all(&to)?;
            directories.push((to, entry.header().mode().unwrap_or(0o755)));
        } else {
            entry.unpack(&to)?;
        }
    }
    for (directory, mode) in directories.into_iter().rev() {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(directory, mode)?;
    }
    // What follows the archive's end belongs to it.
    io::copy(&mut archive.into_inner().take(1 << 20), &mut io::sink())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_names_of_paths() {
        assert_eq!((parent("/a/b/"), base("/a/b/")), ("/a", "b"));
        assert_eq!((parent("/a"), base("/a")), ("/", "a"));
        assert_eq!(parent("a"), "/");
    }

    #[test]
    fn what_is_packed_is_unpacked_under_another_name() {
        let from = tempfile::tempdir().unwrap();
        let to = tempfile::tempdir().unwrap();
        std::fs::create_dir(from.path().join("inner")).unwrap();
        std::fs::write(from.path().join("inner/file"), "text").unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let source = from.path().to_owned();
        let packing = std::thread::spawn(move || pack(&source, "root", CopyOptions::default(), writer));
        unpack(reader, &to.path().join("copy"), CopyOptions::default()).unwrap();
        packing.join().unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(to.path().join("copy/inner/file")).unwrap(), "text");
    }
}
