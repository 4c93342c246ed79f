//! The client against a real registry: Debian's `docker-registry` on a loopback port, with a
//! password. Where it is not installed, the cases are reported as ignored.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use compose_registry::{
    Artifact, Credentials, Descriptor, Part, Platform, Reference, Registry, Settings, Source, Uploaded, digest_of,
    media,
};
use futures_util::TryStreamExt as _;
use libtest_mimic::{Arguments, Trial};

/// `me` with the password `secret`, as `htpasswd -B` writes it (bcrypt).
const PASSWORDS: &str = "me:$2b$04$aX6iTH9yQwppZagmoqfh0.25DqNXs00G2iIJlB1KH3kfb5jL6mJc2\n";

struct Server {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    async fn start(password: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let address = format!("127.0.0.1:{port}");
        let root = folder.path().display();
        let mut text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {root}/data\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n"
        );
        if password {
            std::fs::write(folder.path().join("passwords"), PASSWORDS).expect("written");
            text.push_str(&format!("auth:\n  htpasswd:\n    realm: test\n    path: {root}/passwords\n"));
        }
        let configuration = folder.path().join("config.yml");
        std::fs::write(&configuration, text).expect("written");
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&configuration).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("docker-registry starts");
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { child, address, _folder: folder }
    }

    fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).expect("a reference")
    }

    fn client(&self, auth: &str) -> Registry {
        let text = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, self.address);
        let credentials = Credentials::new(Path::new("/nonexistent"), Some(&text));
        Registry::new(Settings { credentials, ..Settings::default() })
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest: digest_of(bytes),
        size: bytes.len() as u64,
        ..Descriptor::default()
    }
}

async fn an_artifact_comes_back_as_it_was_pushed() {
    let server = Server::start(false).await;
    let registry = Registry::new(Settings::default());
    let part = |name: &str, text: &'static str| Part {
        media_type: "application/vnd.example.file".to_owned(),
        annotations: [("com.example.name".to_owned(), name.to_owned())].into(),
        bytes: Bytes::from_static(text.as_bytes()),
    };
    let artifact = Artifact {
        artifact_type: Some("application/vnd.example.project".to_owned()),
        config: Part { media_type: media::EMPTY.to_owned(), bytes: Bytes::from_static(b"{}"), ..Part::default() },
        parts: vec![part("compose.yaml", "services: {}\n"), part("same.yaml", "services: {}\n"), part(".env", "A=1\n")],
        annotations: [("org.opencontainers.image.created".to_owned(), "1970-01-01T00:00:00Z".to_owned())].into(),
        subject: None,
    };
    let reference = server.reference("team/project:1");
    let pushed = registry.push_artifact(&reference, &artifact).await.expect("pushed");
    let (descriptor, pulled) = registry.pull_artifact(&reference).await.expect("pulled");
    assert_eq!((descriptor.digest.clone(), pulled), (pushed.digest.clone(), artifact.clone()));
    assert_eq!(registry.resolve(&reference).await.expect("resolved").digest, pushed.digest);
    let pinned = reference.at(&pushed.digest);
    assert_eq!(registry.pull_artifact(&pinned).await.expect("pulled").1, artifact);
    let gone = registry.document(&server.reference("team/project:2")).await.expect_err("no such tag");
    assert!(gone.is_not_found(), "{gone}");
}

async fn an_image_of_several_platforms_is_pushed_and_found_by_platform() {
    let server = Server::start(false).await;
    let registry = Registry::new(Settings::default());
    let layer = Bytes::from((0..300_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    let blob = descriptor(media::LAYER, &layer);
    let reference = server.reference("shop/web:7");
    let mut entries = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let config = Bytes::from(format!("{{\"os\":\"linux\",\"architecture\":\"{architecture}\"}}"));
        let config_blob = descriptor(media::CONFIG, &config);
        registry.push_blob(&reference, &config_blob, &[], &Source::bytes(config)).await.expect("the configuration");
        let how = registry.push_blob(&reference, &blob, &[], &Source::bytes(layer.clone())).await.expect("the layer");
        assert_eq!(how, if architecture == "amd64" { Uploaded::Sent } else { Uploaded::Existed });
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": media::MANIFEST, "config": config_blob, "layers": [blob],
        });
        let bytes = Bytes::from(manifest.to_string());
        let by_digest = reference.at(&digest_of(&bytes));
        let mut entry = registry.push_document(&by_digest, media::MANIFEST, bytes).await.expect("a manifest");
        entry.platform = Some(Platform::parse(&format!("linux/{architecture}")));
        entries.push(entry);
    }
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": media::INDEX, "manifests": entries });
    let index =
        registry.push_document(&reference, media::INDEX, Bytes::from(index.to_string())).await.expect("an index");
    assert_eq!(registry.resolve(&reference).await.expect("resolved").digest, index.digest);
    let image = registry.image(&reference, &Platform::parse("linux/arm64/v8")).await.expect("the image");
    assert_eq!(image.descriptor.digest, entries[1].digest);
    // From the middle on, as a download that is taken up again.
    let rest: Vec<Bytes> =
        registry.blob(&reference, &blob, 1_000_000).await.expect("it begins").try_collect().await.expect("the rest");
    assert_eq!(rest.concat(), layer[1_000_000..]);
    let other = server.reference("shop/copy:1");
    let how = registry.push_blob(&other, &blob, &["shop/web".to_owned()], &Source::bytes(layer)).await.expect("there");
    assert_eq!(how, Uploaded::Mounted);
}

async fn a_password_is_asked_for_and_taken() {
    let server = Server::start(true).await;
    let reference = server.reference("private/app:1");
    let artifact = Artifact {
        config: Part { media_type: media::EMPTY.to_owned(), bytes: Bytes::from_static(b"{}"), ..Part::default() },
        ..Artifact::default()
    };
    let anonymous = Registry::new(Settings::default());
    let error = anonymous.push_artifact(&reference, &artifact).await.expect_err("refused");
    assert!(error.is_unauthorized() && error.to_string().contains("log in first: docker login 127.0.0.1:"), "{error}");
    let wrong = server.client("bWU6d3Jvbmc=");
    let error = wrong.push_artifact(&reference, &artifact).await.expect_err("refused");
    assert!(error.is_unauthorized() && error.to_string().contains("log in again"), "{error}");
    let right = server.client("bWU6c2VjcmV0");
    right.push_artifact(&reference, &artifact).await.expect("pushed");
    right.pull_artifact(&reference).await.expect("pulled");
    assert!(anonymous.resolve(&reference).await.expect_err("refused").is_unauthorized());
}

fn main() {
    let installed = Command::new("docker-registry")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    macro_rules! cases {
        ($($case:ident,)*) => { vec![$(
            Trial::test(stringify!($case), || {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
                runtime.block_on($case());
                Ok(())
            })
            .with_ignored_flag(!installed),
        )*] };
    }
    let cases = cases![
        an_artifact_comes_back_as_it_was_pushed,
        an_image_of_several_platforms_is_pushed_and_found_by_platform,
        a_password_is_asked_for_and_taken,
    ];
    libtest_mimic::run(&Arguments::from_args(), cases).exit();
}
