//! A PostgreSQL server from the distribution's packages, unpacked with the libraries
//! that it loads. Nothing is installed on this machine.

use super::archive::Layer;
use crate::packages::{self, PrivateApt, Suite};
use crate::shell::{self, say};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The server's files and where its programs are.
pub(super) struct Server {
    pub(super) layer: Layer,
    programs: String,
}

/// What the server and its tools never load: other languages, compilers, services.
const UNUSED: [&str; 3] = ["libllvm", "libperl", "libdebconf"];

/// What of the server package is kept.
const PROGRAMS: [&str; 9] =
    ["postgres", "initdb", "pg_ctl", "pg_controldata", "psql", "pg_isready", "pg_dump", "createdb", "dropdb"];

/// The configuration of the image, with the attributes that users know from the official one.
pub(super) fn config(server: &Server) -> Value {
    json!({
        "Env": [
            format!("PATH=/{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", server.programs),
            "PGDATA=/var/lib/postgresql/data",
        ],
        "Entrypoint": ["/bin/example", "database"],
        "Cmd": ["postgres"],
        "ExposedPorts": {"5432/tcp": {}},
        "Volumes": {"/var/lib/postgresql/data": {}},
        // Fast shutdown; with SIGTERM the server would wait for its clients to leave.
        "StopSignal": "SIGINT",
    })
}

/// Collects the server from the unpacked packages.
pub(super) fn layer() -> Result<Server> {
    let root = unpacked()?;
    let versions = root.join("usr/lib/postgresql");
    let mut found: Vec<String> = fs::read_dir(&versions)
        .with_context(|| format!("cannot read {}", versions.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let version = found.pop().context("the packages hold no PostgreSQL server")?;
    let (home, share) = (format!("usr/lib/postgresql/{version}"), format!("usr/share/postgresql/{version}"));
    let programs = format!("{home}/bin");

    let mut layer = Layer::default();
    let mut loaded = BTreeMap::new();
    for name in PROGRAMS {
        let from = root.join(&programs).join(name);
        if from.is_file() {
            layer.copy(&format!("{programs}/{name}"), &from)?;
            libraries(&root, &from, &mut loaded)?;
        }
    }
    let modules = root.join(&home).join("lib");
    let skip = |name: &str| name.starts_with("llvmjit") || name == "bitcode" || name == "pgxs" || name == "pkgconfig";
    layer.copy_folder(&format!("{home}/lib"), &modules, &skip)?;
    for name in ["libpqwalreceiver.so", "plpgsql.so", "dict_snowball.so"] {
        libraries(&root, &modules.join(name), &mut loaded)?;
    }
    layer.copy_folder(&share, &root.join(&share), &|name| name == "man" || name.ends_with(".mo"))?;
    let zones = root.join("usr/share/zoneinfo");
    layer.copy_folder("usr/share/zoneinfo", &zones, &|name| matches!(name, "right" | "posix"))?;
    for (path, from) in loaded {
        layer.copy(&path, &from)?;
    }
    layer.folder("var/lib/postgresql/data", 0o700);
    layer.folder("run/postgresql", 0o777);
    Ok(Server { layer, programs })
}

/// The packages, from the cache or fetched now; the folder they are unpacked in.
fn unpacked() -> Result<PathBuf> {
    let folder = packages::cache().join("postgres");
    let root = folder.join("root");
    if folder.join("complete").exists() {
        return Ok(root);
    }
    say("fetching the PostgreSQL server of the distribution into the cache");
    // Leftovers of a fetch that was cut off.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let apt = PrivateApt::new(&folder.join("apt"), Suite::Own)?;
    let closure = apt.closure("postgresql")?;
    let wanted = |name: &str| {
        let server = name.strip_prefix("postgresql-").is_some_and(|rest| {
            let version = rest.strip_prefix("client-").unwrap_or(rest);
            version.chars().all(|c| c.is_ascii_digit())
        });
        let library = name.starts_with("lib") && !UNUSED.iter().any(|unused| name.starts_with(unused));
        server || library || matches!(name, "tzdata" | "zlib1g")
    };
    let names: Vec<&str> = closure.iter().map(|(name, _)| name.as_str()).filter(|name| wanted(name)).collect();
    apt.unpack(&names, &root)?;
    apt.remove();
    // Newer releases have the links of a merged /usr in a package that is not taken.
    for name in ["lib", "lib64"] {
        let (old, new) = (root.join(name), root.join("usr").join(name));
        if !old.exists() && new.is_dir() {
            std::os::unix::fs::symlink(format!("usr/{name}"), old)?;
        }
    }
    fs::write(folder.join("complete"), "")?;
    Ok(root)
}

/// What the dynamic loader of those packages would load for a program or module: path in the image, file here.
fn libraries(root: &Path, program: &Path, into: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let folder = format!("{}-linux-gnu", std::env::consts::ARCH);
    let (loader, at) = match std::env::consts::ARCH {
        "x86_64" => ("ld-linux-x86-64.so.2", "lib64"),
        "aarch64" => ("ld-linux-aarch64.so.1", "lib"),
        other => bail!("the PostgreSQL image cannot be built on {other}"),
    };
    let search = ["lib", "usr/lib"].map(|base| root.join(base).join(&folder).display().to_string()).join(":");
    // The link in lib64 is absolute in some releases, so the loader is taken where it really is.
    let real = ["lib", "usr/lib"].map(|base| root.join(base).join(&folder).join(loader));
    let real = real.into_iter().find(|path| path.is_file()).context("the packages hold no dynamic loader")?;
    let text = shell::output(Command::new(&real).args(["--list", "--library-path", &search]).arg(program))
        .with_context(|| format!("cannot list the libraries of {}", program.display()))?;
    for line in text.lines().map(str::trim) {
        let Some((_, found)) = line.split_once(" => ") else { continue };
        let path = Path::new(found.split(' ').next().unwrap_or_default());
        let Ok(name) = path.strip_prefix(root) else {
            bail!("{} wants {line}, which the fetched packages lack", program.display());
        };
        into.insert(name.to_string_lossy().into_owned(), path.to_owned());
    }
    // Where programs look for it.
    into.insert(format!("{at}/{loader}"), real);
    Ok(())
}
