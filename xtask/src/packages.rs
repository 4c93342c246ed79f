//! Packages of the distribution: installed where the system lacks them, or only
//! unpacked into a cache where the system must stay as it is.

use crate::shell::{self, say};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the build of the workspace needs: program, package.
const BUILD: &[(&str, &str)] = &[("protoc", "protobuf-compiler"), ("cc", "gcc")];

/// What the engines need: program, package.
const ENGINES: &[(&str, &str)] = &[
    ("dockerd", "docker.io"),
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    // `init: true` on containerd; dockerd has a link to it.
    ("tini-static", "tini"),
];

/// What tests start beside the engines: program, package.
const TESTS: &[(&str, &str)] = &[
    ("docker-registry", "docker-registry"),
    ("openssl", "openssl"),
    ("zsh", "zsh"),
    ("fish", "fish"),
    ("tmux", "tmux"),
];

/// What Podman needs: program, package; catatonit is its `init: true`. Its network backend has no program in
/// the search path.
const PODMAN: &[(&str, &str)] = &[("podman", "podman"), ("catatonit", "catatonit")];
const NETAVARK: &str = "/usr/lib/podman/netavark";

/// Well-known types that `protoc` reads; a package of its own on Debian.
const PROTO_FILE: &str = "/usr/include/google/protobuf/any.proto";

/// Where what is fetched is kept between runs.
pub(crate) fn cache() -> PathBuf {
    if let Some(folder) = std::env::var_os("COMPOSE_XTASK_CACHE") {
        return PathBuf::from(folder);
    }
    if shell::is_root() { PathBuf::from("/var/cache/compose-xtask") } else { shell::target().join("xtask-cache") }
}

/// The distribution this machine runs.
pub(crate) struct Distribution {
    /// `debian`, `ubuntu`, ...
    pub(crate) id: String,
    /// `bookworm`, `noble`, ...
    pub(crate) codename: String,
    /// As it calls itself, for messages.
    pub(crate) name: String,
}

impl Distribution {
    /// Reads `/etc/os-release`.
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let fields: BTreeMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key, value.trim_matches('"')))
            .collect();
        let field = |key: &str| fields.get(key).map_or_else(String::new, |value| (*value).to_owned());
        Self { id: field("ID"), codename: field("VERSION_CODENAME"), name: field("PRETTY_NAME") }
    }

    /// Whether this tool knows how to set it up.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.id.as_str(), "debian" | "ubuntu") && shell::which("apt-get").is_some()
    }
}

/// Installs what the build needs, when it is missing.
pub(crate) fn ensure_build_tools() -> Result<()> {
    let mut missing = missing_of(BUILD);
    if !Path::new(PROTO_FILE).exists() && !Path::new("/usr/local/include/google/protobuf/any.proto").exists() {
        missing.push("libprotobuf-dev");
    }
    install(&missing)
}

/// Installs what the engines need, when it is missing.
pub(crate) fn ensure_engines() -> Result<()> {
    install(&missing_for_engines())
}

/// Installs what the behaviour suite starts itself, when it is missing.
pub(crate) fn ensure_test_programs() -> Result<()> {
    install(&missing_of(TESTS))
}

/// Installs what Podman needs, when it is missing.
pub(crate) fn ensure_podman() -> Result<()> {
    let mut missing = missing_of(PODMAN);
    if !Path::new(NETAVARK).exists() {
        missing.extend(["netavark", "aardvark-dns"]);
    }
    install(&missing)
}

/// The packages that the engines would need and this system lacks.
pub(crate) fn missing_for_engines() -> Vec<&'static str> {
    let mut missing = missing_of(ENGINES);
    if cni_folder().is_none() {
        missing.push("containernetworking-plugins");
    }
    missing
}

/// Where the network plugins are.
fn cni_folder() -> Option<&'static Path> {
    ["/usr/lib/cni", "/opt/cni/bin"].into_iter().map(Path::new).find(|folder| folder.join("bridge").is_file())
}

fn missing_of(wanted: &[(&str, &'static str)]) -> Vec<&'static str> {
    wanted.iter().filter(|(program, _)| shell::which(program).is_none()).map(|(_, package)| *package).collect()
}

/// Installs packages without letting them start services.
fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    let distribution = Distribution::read();
    if !distribution.is_known() {
        bail!(
            "this needs {list} (Debian's package names), and only Debian and Ubuntu can be set up here, not {}",
            if distribution.name.is_empty() { "this system" } else { &distribution.name }
        );
    }
    let sudo = if shell::is_root() { None } else { shell::which("sudo") };
    if !shell::is_root() && sudo.is_none() {
        bail!("this needs packages that only root can install: apt-get install {list}");
    }
    say(&format!("installing {list}"));
    let as_root = |program: &str| match &sudo {
        Some(sudo) => {
            let mut command = Command::new(sudo);
            command.arg(program);
            command
        }
        None => Command::new(program),
    };
    // Maintainer scripts ask this file before they start a service. It is there only for this install.
    let script = "\
        set -e; policy=/usr/sbin/policy-rc.d; \
        if [ ! -e $policy ]; then printf '#!/bin/sh\\nexit 101\\n' >$policy; chmod 755 $policy; trap 'rm -f $policy' EXIT; fi; \
        export DEBIAN_FRONTEND=noninteractive; \
        apt-get update -q; apt-get install -q -y --no-install-recommends \"$@\"";
    let mut command = as_root("sh");
    command.args(["-c", script, "install"]).args(packages).stdin(Stdio::null());
    shell::output(&mut command).with_context(|| format!("cannot install {list}")).map(drop)
}

/// Which release packages are taken from.
#[derive(Clone, Copy)]
pub(crate) enum Suite {
    /// The one this system runs.
    Own,
    /// The newest that the distribution has, for newer engines than its release offers.
    Newest,
}

/// apt with a configuration, lists and an archive of its own: the system's stay as they are.
pub(crate) struct PrivateApt {
    folder: PathBuf,
}

impl PrivateApt {
    /// Sets up the folder and fetches the list of packages.
    pub(crate) fn new(folder: &Path, suite: Suite) -> Result<Self> {
        let distribution = Distribution::read();
        if !distribution.is_known() {
            bail!("packages can be fetched on Debian and Ubuntu only, not on {}", distribution.name);
        }
        let (keyring, newest) = match distribution.id.as_str() {
            "ubuntu" => ("/usr/share/keyrings/ubuntu-archive-keyring.gpg", "devel"),
            _ => ("/usr/share/keyrings/debian-archive-keyring.gpg", "sid"),
        };
        let components = if distribution.id == "ubuntu" { "main universe" } else { "main" };
        let wanted = std::env::var("COMPOSE_XTASK_SUITE").unwrap_or_else(|_| newest.to_owned());
        let suite = match suite {
            Suite::Own => distribution.codename.clone(),
            Suite::Newest => wanted,
        };
        let uri = mirror(&distribution.codename).with_context(|| {
            format!(
                "apt names no mirror for {}: run `apt-get update`, or look at its list of sources",
                distribution.name
            )
        })?;
        for sub in ["lists/partial", "archives/partial", "empty"] {
            fs::create_dir_all(folder.join(sub)).with_context(|| format!("cannot write {}", folder.display()))?;
        }
        let at = folder.display();
        fs::write(folder.join("sources.list"), format!("deb [signed-by={keyring}] {uri} {suite} {components}\n"))?;
        // An empty dpkg status makes apt name the whole closure of a package, whatever is installed here.
        fs::write(folder.join("status"), "")?;
        fs::write(
            folder.join("apt.conf"),
            format!(
                "Dir::Etc::sourcelist \"{at}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
                 Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
                 Dir::State::lists \"{at}/lists\";\nDir::State::status \"{at}/status\";\n\
                 Dir::State::extended_states \"{at}/extended_states\";\n\
                 Dir::Cache \"{at}\";\nDir::Cache::archives \"{at}/archives\";\n\
                 Acquire::Languages \"none\";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
                 APT::Sandbox::User \"root\";\n"
            ),
        )?;
        let apt = Self { folder: folder.to_owned() };
        shell::output(apt.command("apt-get").args(["update", "-q"]))
            .with_context(|| format!("cannot read the package lists of {suite} from {uri}"))?;
        Ok(apt)
    }

    /// An apt program that sees only this configuration.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf")).current_dir(self.folder.join("archives"));
        command
    }

    /// Every package that an installation of `package` on an empty system would bring, with its version.
    pub(crate) fn closure(&self, package: &str) -> Result<Vec<(String, String)>> {
        let mut command = self.command("apt-get");
        command.args(["install", "--simulate", "--no-install-recommends", package]);
        let text = shell::output(&mut command)?;
        // Inst libpq5 (15.18-0+deb12u1 Debian:12.11/oldstable [amd64])
        let packages: Vec<(String, String)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("Inst "))
            .filter_map(|line| {
                let (name, rest) = line.split_once(" (")?;
                Some((name.to_owned(), rest.split(' ').next()?.to_owned()))
            })
            .collect();
        if packages.is_empty() {
            bail!("apt does not know the package {package}");
        }
        Ok(packages)
    }

    /// Downloads the packages and unpacks them into `into`.
    pub(crate) fn unpack(&self, packages: &[&str], into: &Path) -> Result<()> {
        fs::create_dir_all(into)?;
        let mut command = self.command("apt-get");
        command.args(["download", "-q"]).args(packages);
        shell::output(&mut command)?;
        for entry in fs::read_dir(self.folder.join("archives"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                shell::output(Command::new("dpkg-deb").arg("-x").arg(&path).arg(into))?;
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Removes lists and archives: they are large, and old by the next time.
    pub(crate) fn remove(self) {
        // What stays behind is only disk space in a cache.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The mirror that the system itself uses for its release.
fn mirror(codename: &str) -> Option<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(SITE) $(CODENAME) $(LABEL)", "Created-By: Packages"]);
    let text = shell::output(&mut command).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (site, name, label) = (words.next()?, words.next()?, words.next()?);
        (name == codename && matches!(label, "Debian" | "Ubuntu")).then(|| site.to_owned())
    })
}

/// A statically linked busybox: the system's own where it is static, else from the package, unpacked.
pub(crate) fn static_busybox() -> Result<PathBuf> {
    let kept = cache().join("busybox");
    let candidates = [kept.clone(), PathBuf::from("/bin/busybox"), PathBuf::from("/usr/bin/busybox")];
    if let Some(found) = candidates.into_iter().find(|path| path.is_file() && is_static(path)) {
        return Ok(found);
    }
    say("fetching busybox-static");
    let folder = cache().join("apt-busybox");
    let apt = PrivateApt::new(&folder, Suite::Own)?;
    let root = folder.join("root");
    apt.unpack(&["busybox-static"], &root)?;
    let unpacked = ["bin/busybox", "usr/bin/busybox"].map(|name| root.join(name));
    let Some(found) = unpacked.into_iter().find(|path| path.is_file()) else {
        bail!("the package busybox-static holds no busybox");
    };
    fs::copy(found, &kept)?;
    apt.remove();
    Ok(kept)
}

/// A program without an interpreter in its program headers.
fn is_static(path: &Path) -> bool {
    let mut command = Command::new("ldd");
    command.arg(path).env("LC_ALL", "C").stdin(Stdio::null());
    command.output().is_ok_and(|done| {
        let text = [done.stdout, done.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.contains("not a dynamic executable") || text.contains("statically linked")
    })
}

/// The newer engines: docker.io, containerd and buildx of the newest suite, unpacked; the folder.
pub(crate) fn newest_engines() -> Result<PathBuf> {
    let folder = cache().join("newest");
    let root = folder.join("root");
    if folder.join("complete").exists() {
        return Ok(root);
    }
    say("fetching docker.io, containerd and docker-buildx of the distribution's newest suite into the cache");
    // Leftovers of a fetch that was cut off.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    let apt = PrivateApt::new(&folder.join("apt"), Suite::Newest)?;
    apt.unpack(&["docker.io", "docker-cli", "containerd", "docker-buildx", "tini-static"], &root)?;
    apt.remove();
    let documents = root.join("usr/share");
    if documents.exists() {
        fs::remove_dir_all(documents)?;
    }
    fs::write(folder.join("complete"), "")?;
    Ok(root)
}
