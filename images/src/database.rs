//! The first program of the PostgreSQL image: makes the data folder at the first start,
//! gives up root, and becomes the server.

use crate::setting;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The user and group that the server runs as; /etc/passwd of the image names them `postgres`.
const POSTGRES: u32 = 999;

/// With no argument, or options, or `postgres ...`: the server. With anything else: that program.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (program, rest) = match arguments.split_first() {
        Some((first, rest)) if !first.starts_with('-') => (first.as_str(), rest),
        _ => ("postgres", arguments),
    };
    if program != "postgres" {
        let error = Command::new(program).args(rest).exec();
        return Err(format!("cannot run {program}: {error}"));
    }
    let data = setting("PGDATA", "/var/lib/postgresql/data");
    prepare(Path::new(&data)).map_err(|error| format!("cannot prepare {data}: {error}"))?;
    if !Path::new(&data).join("PG_VERSION").exists() {
        initialise(&data)?;
    }
    let mut server = Command::new("postgres");
    server.args(["-D", &data, "-c", "listen_addresses=*", "-c", "unix_socket_directories=/run/postgresql"]);
    let error = as_server(&mut server).args(rest).exec();
    Err(format!("cannot run postgres: {error}"))
}

/// A user other than root was chosen with `user:`; then nothing can be given away.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0)
}

fn as_server(command: &mut Command) -> &mut Command {
    if is_root() { command.uid(POSTGRES).gid(POSTGRES) } else { command }
}

fn prepare(data: &Path) -> std::io::Result<()> {
    for (folder, mode) in [(data, 0o700), (Path::new("/run/postgresql"), 0o775)] {
        fs::create_dir_all(folder)?;
        if is_root() {
            chown(folder, Some(POSTGRES), Some(POSTGRES))?;
            fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

fn initialise(data: &str) -> Result<(), String> {
    let user = setting("POSTGRES_USER", "postgres");
    let database = setting("POSTGRES_DB", &user);
    let password = match std::env::var("POSTGRES_PASSWORD_FILE") {
        Ok(file) => fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?.trim_end().to_owned(),
        Err(_) => setting("POSTGRES_PASSWORD", ""),
    };
    let mut initdb = Command::new("initdb");
    initdb.args(["-D", data, "--username", &user, "--encoding", "UTF8", "--locale", "C", "--auth-local", "trust"]);
    let method = if password.is_empty() {
        eprintln!("POSTGRES_PASSWORD is not set: every client is let in");
        "trust"
    } else {
        "scram-sha-256"
    };
    initdb.args(["--auth-host", method]);
    let secret = "/run/postgresql/.first-password";
    if !password.is_empty() {
        let written = fs::write(secret, format!("{password}\n"))
            .and_then(|()| fs::set_permissions(secret, fs::Permissions::from_mode(0o600)))
            .and_then(|()| if is_root() { chown(secret, Some(POSTGRES), Some(POSTGRES)) } else { Ok(()) });
        written.map_err(|error| format!("{secret}: {error}"))?;
        initdb.args(["--pwfile", secret]);
    }
    let made = as_server(&mut initdb).status();
    if !password.is_empty() {
        fs::remove_file(secret).map_err(|error| format!("{secret}: {error}"))?;
    }
    if !made.map_err(|error| format!("cannot run initdb: {error}"))?.success() {
        return Err("initdb failed".to_owned());
    }
    let hba = Path::new(data).join("pg_hba.conf");
    let mut file = fs::OpenOptions::new().append(true).open(&hba).map_err(|error| error.to_string())?;
    writeln!(file, "host all all all {method}").map_err(|error| error.to_string())?;
    if database != "postgres" {
        create_database(data, &database)?;
    }
    Ok(())
}

/// In single-user mode: no server has to be started and stopped for it.
fn create_database(data: &str, name: &str) -> Result<(), String> {
    let mut single = Command::new("postgres");
    single.args(["--single", "-D", data, "postgres"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = as_server(&mut single).spawn().map_err(|error| format!("cannot run postgres: {error}"))?;
    let statement = format!("CREATE DATABASE \"{}\"\n", name.replace('"', "\"\""));
    let sent = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(statement.as_bytes()));
    let status = child.wait().map_err(|error| error.to_string())?;
    sent.map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("cannot create the database {name}")) }
}
