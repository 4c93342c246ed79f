//! `cargo xtask images`: the images of the examples and the tests, made without a registry.
//!
//! A static busybox is the base of all. One static program of this repository plays
//! every application; the database is a real PostgreSQL server from the distribution.
//! They also carry the names that the book chapter's files use.

mod archive;
mod postgres;

use crate::packages;
use crate::shell::{self, say};
use anyhow::{Context, Result, bail};
use archive::{Blob, Image, Layer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where the archives are.
pub(crate) fn folder() -> PathBuf {
    shell::target().join("images")
}

/// The file that changes with the content of the archives.
pub(crate) fn stamp() -> PathBuf {
    folder().join("stamp")
}

/// `cargo xtask images [--force]`.
pub(crate) fn command(arguments: &[String]) -> Result<ExitCode> {
    match arguments {
        [] => {}
        [force] if force == "--force" => {
            if folder().exists() {
                fs::remove_dir_all(folder())?;
            }
        }
        _ => bail!("images takes only --force"),
    }
    for archive in ensure()? {
        let size = fs::metadata(&archive)?.len() / 1_000_000;
        println!("{} ({size} MB)", archive.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The images of the demonstration alone, under names that nobody else has: an engine of
/// somebody's own keeps its `nginx:latest`.
pub(crate) const DEMONSTRATION: [&str; 2] = ["example/app:1", "example/front:1"];

/// The archive of the [`DEMONSTRATION`].
pub(crate) fn demonstration() -> Result<PathBuf> {
    ensure()?;
    Ok(folder().join("demonstration.tar"))
}

/// Builds what is missing or older than its sources; the archives in the order they are loaded.
pub(crate) fn ensure() -> Result<Vec<PathBuf>> {
    let folder = folder();
    fs::create_dir_all(&folder)?;
    fs::create_dir_all(packages::cache())?;
    // Two runs at once would write the same files.
    let lock = File::create(folder.join("lock"))?;
    lock.lock()?;
    let program = build_program()?;
    let busybox = packages::static_busybox()?;
    let base = base_layer(&busybox)?.pack()?;
    let mut top = Layer::default();
    top.copy("bin/example", &program)?;
    let top = top.pack()?;

    let hash = |parts: &[&[u8]]| -> String {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(Sha256::digest(part));
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let recipe =
        [include_bytes!("mod.rs").as_slice(), include_bytes!("archive.rs"), include_bytes!("postgres.rs")].concat();
    let apps = folder.join("examples.tar");
    let database = folder.join("postgres.tar");
    let wanted = hash(&[&base, &top, &recipe]);
    let demonstration = folder.join("demonstration.tar");
    let stamp_file = stamp();
    let fresh = fs::read_to_string(&stamp_file).is_ok_and(|text| text == wanted);
    if !fresh || ![&apps, &database, &demonstration].into_iter().all(|file| file.exists()) {
        say("building the example images");
        let (base, top) = (Blob::new(base), Blob::new(top));
        let mut images = applications(&base, &top);
        archive::write(&images, &apps)?;
        images.retain_mut(|image| {
            image.names.retain(|name| DEMONSTRATION.contains(&name.as_str()));
            !image.names.is_empty()
        });
        archive::write(&images, &demonstration)?;
        let server = postgres::layer()?;
        let layer = Blob::new(server.layer.pack()?);
        let image = Image {
            names: names(&["example/postgres:1", "diamol/postgres:11.5", "postgres:latest"]),
            layers: vec![&base, &layer, &top],
            config: postgres::config(&server),
        };
        archive::write(&[image], &database)?;
        fs::write(&stamp_file, wanted)?;
    }
    Ok(vec![apps, database])
}

/// Compiles the program of the images, linked statically.
fn build_program() -> Result<PathBuf> {
    let target = shell::target().join("static");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut command = shell::cargo();
    command
        .args(["build", "--quiet", "--release", "--manifest-path", "images/Cargo.toml", "--target", &triple])
        .arg("--target-dir")
        .arg(&target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env("RUSTFLAGS", format!("-C target-feature=+crt-static --remap-path-prefix={}=.", shell::root().display()));
    shell::run(&mut command).context("cannot build the program of the example images")?;
    Ok(target.join(triple).join("release/example"))
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

/// busybox with its links, and the few files that programs expect.
fn base_layer(busybox: &Path) -> Result<Layer> {
    let mut layer = Layer::default();
    layer.copy("bin/busybox", busybox)?;
    for name in shell::output(Command::new(busybox).arg("--list"))?.lines() {
        if name != "busybox" {
            layer.link(&format!("bin/{name}"), "busybox");
        }
    }
    layer.link("usr/bin/env", "../../bin/env");
    layer.folder("tmp", 0o1777);
    layer.folder("root", 0o700);
    layer.link("var/run", "../run");
    layer.folder("run", 0o755);
    let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:999:999:postgres:/var/lib/postgresql:/bin/sh\n\
                  nobody:x:65534:65534:nobody:/:/bin/false\n";
    layer.file("etc/passwd", 0o644, passwd.as_bytes().to_vec());
    layer.file("etc/group", 0o644, b"root:x:0:\npostgres:x:999:\nnobody:x:65534:\n".to_vec());
    Ok(layer)
}

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The configuration of an application image.
fn application(part: &str, environment: &[&str]) -> Value {
    let environment: Vec<&str> = [PATH].into_iter().chain(environment.iter().copied()).collect();
    json!({"Env": environment, "Cmd": ["/bin/example", part], "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGTERM"})
}

fn applications<'a>(base: &'a Blob, top: &'a Blob) -> Vec<Image<'a>> {
    let image = |list: &[&str], config| Image { names: names(list), layers: vec![base, top], config };
    let connection = "TODO_DATABASE=Server=db;Database=todo_db;User Id=todo_user;Password=todo_password";
    vec![
        Image {
            names: names(&["busybox:latest", "busybox:1"]),
            layers: vec![base],
            config: json!({"Env": [PATH], "Cmd": ["sh"]}),
        },
        image(&["example/app:1", "myapp:latest"], application("replica", &["VERSION=1"])),
        image(&["example/app:2"], application("replica", &["VERSION=2"])),
        image(&["example/front:1", "nginx:latest"], application("front", &[])),
        image(&["example/picture:1", "diamol/ch04-image-of-the-day:latest"], application("picture", &[])),
        image(&["example/access-log:1", "diamol/ch04-access-log:latest"], application("access-log", &[])),
        image(&["example/gallery:1", "diamol/ch04-image-gallery:latest"], application("gallery", &[])),
        image(&["example/todo:1", "diamol/ch06-todo-list:latest", "diamol/todo-web:latest"], application("todo", &[])),
        image(&["my-todo-app:latest"], application("todo", &["Database:Provider=Postgres", connection])),
    ]
}
