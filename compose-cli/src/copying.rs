//! Files between this machine and a container, as tar archives, with the rules of `cp`.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
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

/// Writes a path as an archive; an empty name packs the contents of a directory. Only the path itself is followed
/// where that is asked, as in the reference: links below it stay links.
fn pack(source: &Path, name: &str, options: CopyOptions, writer: io::PipeWriter) -> io::Result<()> {
    let mut builder = tar::Builder::new(io::BufWriter::with_capacity(64 * 1024, writer));
    builder.follow_symlinks(false);
    let source = if options.follow { source.canonicalize()? } else { source.to_owned() };
    append(&mut builder, &source, Path::new(if name.is_empty() { "." } else { name }))?;
    builder.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

fn append(builder: &mut tar::Builder<impl io::Write>, source: &Path, name: &Path) -> io::Result<()> {
    let metadata = std::fs::symlink_metadata(source)?;
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_symlink() {
        return builder.append_path_with_name(source, name);
    }
    if !kind.is_dir() {
        // An archive cannot hold a socket, and nobody would answer at a copy of one.
        return if kind.is_socket() { Ok(()) } else { append_special(builder, &metadata, name) };
    }
    builder.append_dir(name, source)?;
    let mut children = std::fs::read_dir(source)?.collect::<io::Result<Vec<_>>>()?;
    children.sort_by_key(std::fs::DirEntry::file_name);
    for child in children {
        append(builder, &child.path(), &name.join(child.file_name()))?;
    }
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

/// A named pipe or a device; the library would give it the name that it has here.
fn append_special(
    builder: &mut tar::Builder<impl io::Write>,
    metadata: &std::fs::Metadata,
    name: &Path,
) -> io::Result<()> {
    let kind = metadata.file_type();
    let mut header = tar::Header::new_gnu();
    header.set_metadata(metadata);
    header.set_size(0);
    header.set_entry_type(match () {
        () if kind.is_fifo() => tar::EntryType::Fifo,
        () if kind.is_block_device() => tar::EntryType::Block,
        () => tar::EntryType::Char,
    });
    let device = std::os::unix::fs::MetadataExt::rdev(metadata);
    header.set_device_major(rustix::fs::major(device))?;
    header.set_device_minor(rustix::fs::minor(device))?;
    builder.append_data(&mut header, name, io::empty())
}

/// The place of a path of an archive, whose only root becomes `destination`.
fn place(path: &Path, destination: &Path) -> io::Result<PathBuf> {
    let mut parts = path.components().filter(|part| *part != Component::CurDir);
    parts.next();
    let rest: PathBuf = parts.collect();
    if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(outside(path));
    }
    Ok(if rest.as_os_str().is_empty() { destination.to_owned() } else { destination.join(rest) })
}

fn outside(path: &Path) -> io::Error {
    io::Error::other(format!("the archive holds a path that leads outside: {}", path.display()))
}

/// Unpacks an archive whose only root becomes `destination`.
fn unpack(reader: io::PipeReader, destination: &Path, options: CopyOptions) -> io::Result<()> {
    let mut archive = tar::Archive::new(io::BufReader::with_capacity(64 * 1024, reader));
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(options.archive);
    // Directories get their permissions last, so that their content can be written.
    let mut directories = Vec::new();
    // What an archive says to lie below a link that it brought itself would be written wherever that leads.
    let mut links = BTreeSet::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let to = place(&path, destination)?;
        if to.ancestors().skip(1).any(|above| links.contains(above)) {
            return Err(outside(&path));
        }
        match entry.header().entry_type() {
            tar::EntryType::Directory => {
                if links.contains(&to) {
                    return Err(outside(&path));
                }
                std::fs::create_dir_all(&to)?;
                directories.push((to, entry.header().mode().unwrap_or(0o755)));
            }
            tar::EntryType::Link => {
                let Some(target) = entry.link_name()? else { continue };
                let target = place(&target, destination)?;
                if target.ancestors().any(|above| links.contains(above)) {
                    return Err(outside(&path));
                }
                remove_old(&to)?;
                std::fs::hard_link(target, &to)?;
            }
            kind @ (tar::EntryType::Fifo | tar::EntryType::Char | tar::EntryType::Block) => {
                remove_old(&to)?;
                make_special(kind, entry.header(), &to)?;
            }
            kind => {
                entry.unpack(&to)?;
                if kind.is_symlink() {
                    links.insert(to);
                }
            }
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

/// Removes what a new file takes the place of.
fn remove_old(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a named pipe, or a device, for which one has to be root.
fn make_special(kind: tar::EntryType, header: &tar::Header, path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, chmod, makedev, mknodat};
    let number = |value: Option<u32>| value.unwrap_or(0);
    let (kind, device) = match kind {
        tar::EntryType::Fifo => (FileType::Fifo, 0),
        other => {
            let device = makedev(number(header.device_major()?), number(header.device_minor()?));
            (if other == tar::EntryType::Block { FileType::BlockDevice } else { FileType::CharacterDevice }, device)
        }
    };
    let mode = Mode::from_raw_mode(header.mode()? & 0o7777);
    mknodat(CWD, path, kind, mode, device)?;
    Ok(chmod(path, mode)?)
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
    /// Unpacks what the archive is given.
    fn unpacked(to: &Path, make: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> io::Result<()> {
        let mut builder = tar::Builder::new(Vec::new());
        make(&mut builder);
        let bytes = builder.into_inner().unwrap();
        let (reader, mut writer) = io::pipe().unwrap();
        // Small enough for the pipe.
        io::Write::write_all(&mut writer, &bytes).unwrap();
        drop(writer);
        unpack(reader, to, CopyOptions::default())
    }

    fn header(kind: tar::EntryType, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(size);
        header
    }

    #[test]
    fn nothing_is_written_through_a_link_of_the_archive() {
        let aside = tempfile::tempdir().unwrap();
        for last in [tar::EntryType::Regular, tar::EntryType::Directory, tar::EntryType::Fifo, tar::EntryType::Link] {
            let to = tempfile::tempdir().unwrap();
            let error = unpacked(&to.path().join("copy"), |archive| {
                archive.append_data(&mut header(tar::EntryType::Directory, 0), "d", io::empty()).unwrap();
                archive.append_link(&mut header(tar::EntryType::Symlink, 0), "d/out", aside.path()).unwrap();
                archive.append_link(&mut header(last, 0), "d/out/file", "d/out").unwrap();
            });
            assert!(error.unwrap_err().to_string().contains("leads outside"), "{last:?}");
        }
        assert!(std::fs::read_dir(aside.path()).unwrap().next().is_none());
    }

    #[test]
    fn hard_links_lead_to_files_of_the_archive() {
        let to = tempfile::tempdir().unwrap();
        unpacked(&to.path().join("copy"), |archive| {
            archive.append_data(&mut header(tar::EntryType::Directory, 0), "d", io::empty()).unwrap();
            archive.append_data(&mut header(tar::EntryType::Regular, 4), "d/one", &b"text"[..]).unwrap();
            archive.append_link(&mut header(tar::EntryType::Link, 0), "d/two", "d/one").unwrap();
        })
        .unwrap();
        assert_eq!(std::fs::read_to_string(to.path().join("copy/two")).unwrap(), "text");
        let stolen = unpacked(&to.path().join("more"), |archive| {
            archive.append_data(&mut header(tar::EntryType::Directory, 0), "d", io::empty()).unwrap();
            archive.append_link(&mut header(tar::EntryType::Link, 0), "d/two", "d/../../copy/one").unwrap();
        });
        assert!(stolen.unwrap_err().to_string().contains("leads outside"));
    }

    #[test]
    fn pipes_are_copied_and_sockets_left_out() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let _socket = std::os::unix::net::UnixListener::bind(from.path().join("socket")).unwrap();
        make_special(tar::EntryType::Fifo, &header(tar::EntryType::Fifo, 0), &from.path().join("pipe")).unwrap();
        std::os::unix::fs::symlink("pipe", from.path().join("link")).unwrap();
        let (reader, writer) = io::pipe().unwrap();
        let follow = CopyOptions { follow: true, ..CopyOptions::default() };
        pack(from.path(), "root", follow, writer).unwrap();
        unpack(reader, &to.path().join("copy"), CopyOptions::default()).unwrap();
        let kind = |name: &str| std::fs::symlink_metadata(to.path().join("copy").join(name)).map(|it| it.file_type());
        assert!(kind("pipe").unwrap().is_fifo());
        assert!(kind("link").unwrap().is_symlink(), "only the path itself is followed");
        assert!(kind("socket").is_err());
    }
}
