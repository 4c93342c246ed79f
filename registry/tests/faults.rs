//! The client against a registry that misbehaves: a few lines of HTTP with prepared answers.
//!
//! What a well-behaved registry does is shown in `distribution.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use compose_registry::{
    Artifact, Credentials, Descriptor, Part, Platform, Reference, Registry, RegistryError, Settings, Source, Uploaded,
    digest_of, media,
};
use futures_util::TryStreamExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// A request as it came.
#[derive(Clone, Debug, Default)]
struct Asked {
    line: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Asked {
    fn has(&self, name: &str, value: &str) -> bool {
        self.headers.get(name).is_some_and(|own| own == value)
    }
}

/// Answers requests with whole HTTP answers; each connection serves one.
struct Fake {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    async fn start(answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    let Some(request) = read(&mut stream).await else { return };
                    let bytes = answer(&request);
                    seen.lock().expect("the list").push(request);
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { address, asked }
    }

    fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).expect("a reference")
    }

    fn lines(&self) -> Vec<String> {
        self.asked.lock().expect("the list").iter().map(|asked| asked.line.clone()).collect()
    }
}

/// A request; `None` for a TLS hello, which is what the client tries first.
async fn read(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<Asked> {
    let mut asked = Asked::default();
    let mut raw = Vec::new();
    stream.read_until(b'\n', &mut raw).await.ok()?;
    asked.line = String::from_utf8(raw).ok()?.trim_end().strip_suffix(" HTTP/1.1")?.to_owned();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        asked.headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = asked.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    asked.body = vec![0; length];
    stream.read_exact(&mut asked.body).await.ok()?;
    Some(asked)
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n", body.len())
            .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn anonymous() -> Registry {
    Registry::new(Settings::default())
}

/// A client with a login for one registry.
fn with_login(address: &str, entry: &str) -> Registry {
    let text = format!(r#"{{"auths": {{"{address}": {entry}}}}}"#);
    let credentials = Credentials::new(std::path::Path::new("/nonexistent"), Some(&text));
    Registry::new(Settings { credentials, ..Settings::default() })
}

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"x","size":1},"layers":[]}"#;

#[tokio::test]
async fn a_token_is_got_for_user_and_password_and_kept() {
    let fake = Fake::start(|asked| {
        if asked.line.starts_with("GET /token?") {
            let fine = asked.line.contains("scope=repository%3Aa%2Fb%3Apull") && asked.line.contains("account=me");
            assert!(asked.has("authorization", "Basic bWU6c2VjcmV0"), "{asked:?}");
            let body = if fine { &br#"{"access_token":"t0k"}"#[..] } else { b"{}" };
            return reply("200 OK", "", body);
        }
        if asked.has("authorization", "Bearer t0k") {
            return reply("200 OK", "Content-Type: application/vnd.oci.image.manifest.v1+json\r\n", MANIFEST);
        }
        let host = &asked.headers["host"];
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"reg\"\r\n");
        reply("401 Unauthorized", &challenge, b"{}")
    })
    .await;
    let registry = with_login(&fake.address, r#"{"auth": "bWU6c2VjcmV0"}"#);
    let reference = fake.reference("a/b:1");
    let document = registry.document(&reference).await.expect("the manifest");
    assert_eq!(document.descriptor.digest, digest_of(MANIFEST));
    registry.document(&reference).await.expect("again");
    let tokens = fake.lines().iter().filter(|line| line.contains("/token")).count();
    assert_eq!((tokens, fake.lines().len()), (1, 4), "{:?}", fake.lines());
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let fake = Fake::start(|asked| {
        if asked.line == "POST /token" {
            let body = String::from_utf8_lossy(&asked.body).into_owned();
            assert!(body.contains("grant_type=refresh_token") && body.contains("refresh_token=idt%2F1"), "{body}");
            return reply("200 OK", "", br#"{"token":"t"}"#);
        }
        if asked.has("authorization", "Bearer t") {
            return reply("200 OK", "", MANIFEST);
        }
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"\r\n", asked.headers["host"]);
        reply("401 Unauthorized", &challenge, b"")
    })
    .await;
    let registry = with_login(&fake.address, r#"{"identitytoken": "idt/1"}"#);
    registry.document(&fake.reference("a/b")).await.expect("the manifest");
}

#[tokio::test]
async fn a_refused_login_says_where_and_what_to_do() {
    let fake = Fake::start(|asked| {
        if asked.line.starts_with("GET /token") {
            return reply("401 Unauthorized", "", br#"{"details":"incorrect username or password"}"#);
        }
        let challenge = format!("WWW-Authenticate: Bearer realm=\"http://{}/token\"\r\n", asked.headers["host"]);
        reply("401 Unauthorized", &challenge, b"")
    })
    .await;
    let wrong = with_login(&fake.address, r#"{"auth": "bWU6d3Jvbmc="}"#);
    let error = wrong.document(&fake.reference("a/b")).await.expect_err("refused");
    let text = error.to_string().replace(&fake.address, "HOST");
    assert_eq!(
        text,
        "HOST refuses access to a/b: unauthorized: incorrect username or password; check that your login may do this, or log in \
         again: docker login HOST"
    );
    let error = anonymous().document(&fake.reference("a/b")).await.expect_err("refused").to_string();
    assert!(error.ends_with(&format!("; log in first: docker login {}", fake.address)), "{error}");
}

#[tokio::test]
async fn a_token_service_without_tls_gets_no_credentials_of_a_registry_with_tls() {
    // The registry is one with plain HTTP, its token service claims a scheme that is none.
    let fake = Fake::start(|_| reply("401 Unauthorized", "WWW-Authenticate: Bearer realm=\"file:///etc/x\"\r\n", b""));
    let fake = fake.await;
    let registry = with_login(&fake.address, r#"{"auth": "bWU6c2VjcmV0"}"#);
    let error = registry.document(&fake.reference("a/b")).await.expect_err("refused").to_string();
    assert!(error.contains("not reached by TLS"), "{error}");
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_broke_and_is_verified() {
    let content: Vec<u8> = (0..50_000u32).flat_map(u32::to_le_bytes).collect();
    let (digest, size) = (digest_of(&content), content.len());
    let served = content.clone();
    let fake = Fake::start(move |asked| {
        let from = asked
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        // The connection ends 60,000 bytes later, whatever was promised.
        let from_byte = from.unwrap_or(0);
        let status = if from.is_some() { "206 Partial Content" } else { "200 OK" };
        let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", size - from_byte).into_bytes();
        bytes.extend_from_slice(&served[from_byte..size.min(from_byte + 60_000)]);
        bytes
    })
    .await;
    tokio::time::pause();
    let blob = Descriptor { digest, size: size as u64, ..Descriptor::default() };
    let whole = anonymous().small_blob(&fake.reference("a/b"), &blob, 1 << 20).await.expect("all of it");
    assert_eq!(whole, content);
    assert_eq!(fake.lines().len(), 4);
}

#[tokio::test]
async fn other_bytes_than_asked_for_are_refused() {
    let fake = Fake::start(|asked| match asked.line.as_str() {
        "GET /v2/a/b/blobs/sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae" => {
            reply("200 OK", "", b"bar")
        }
        _ => reply("200 OK", "Docker-Content-Digest: sha256:0000\r\n", MANIFEST),
    })
    .await;
    let registry = anonymous();
    let blob = Descriptor { digest: digest_of(b"foo"), size: 3, ..Descriptor::default() };
    let stream = registry.blob(&fake.reference("a/b"), &blob, 0).await.expect("it begins");
    let error = stream.try_collect::<Vec<_>>().await.expect_err("wrong bytes");
    assert!(matches!(error, RegistryError::WrongDigest { .. }), "{error}");
    let pinned = fake.reference("a/b").at(&digest_of(b"something else"));
    let error = registry.document(&pinned).await.expect_err("wrong bytes");
    assert!(matches!(error, RegistryError::WrongDigest { .. }), "{error}");
    let path = Descriptor { digest: "sha256:../../etc".to_owned(), size: 3, ..Descriptor::default() };
    assert!(registry.blob(&fake.reference("a/b"), &path, 0).await.is_err());
}

#[tokio::test]
async fn a_redirect_to_another_host_gets_no_authorization() {
    let storage = Fake::start(|asked| {
        assert!(!asked.headers.contains_key("authorization"), "{asked:?}");
        reply("200 OK", "", b"foo")
    })
    .await;
    let elsewhere = storage.address.clone();
    let fake = Fake::start(move |asked| {
        if asked.has("authorization", "Basic bWU6c2VjcmV0") {
            return reply("307 Temporary Redirect", &format!("Location: http://{elsewhere}/blob?signature=1\r\n"), b"");
        }
        reply("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n", b"")
    })
    .await;
    let registry = with_login(&fake.address, r#"{"auth": "bWU6c2VjcmV0"}"#);
    let blob = Descriptor { digest: digest_of(b"foo"), size: 3, ..Descriptor::default() };
    assert_eq!(registry.small_blob(&fake.reference("a/b"), &blob, 10).await.expect("the blob"), "foo");
    assert_eq!(storage.lines(), ["GET /blob?signature=1"]);
}

#[tokio::test]
async fn the_platforms_that_there_are_are_told_where_none_fits() {
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"digest":"{d}","size":1,"platform":{{"os":"linux","architecture":"s390x"}}}},{{"digest":"{d}","size":1,"platform":{{"os":"unknown","architecture":"unknown"}}}}]}}"#,
        media::INDEX,
        d = digest_of(b"x"),
    );
    let fake = Fake::start(move |_| reply("200 OK", "", index.as_bytes())).await;
    let error = anonymous().image(&fake.reference("a/b:1"), &Platform::parse("linux/amd64")).await.expect_err("none");
    let text = error.to_string().replace(&fake.address, "HOST");
    assert_eq!(text, "no matching manifest for linux/amd64 in HOST/a/b:1; it has: linux/s390x");
}

#[tokio::test]
async fn a_missing_tag_a_rate_limit_and_an_old_format_are_told_apart() {
    let fake = Fake::start(|asked| {
        if asked.line.ends_with("/gone") {
            return reply(
                "404 Not Found",
                "",
                br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            );
        }
        if asked.line.ends_with("/old") {
            return reply("200 OK", "", br#"{"schemaVersion":1}"#);
        }
        reply("429 Too Many Requests", "", br#"{"errors":[{"code":"TOOMANYREQUESTS","message":"enough"}]}"#)
    })
    .await;
    let registry = anonymous();
    let said = async |tag: &str| {
        let error = registry.document(&fake.reference(tag)).await.expect_err("an error");
        error.to_string().replace(&fake.address, "HOST")
    };
    assert_eq!(said("a/b:gone").await, "HOST has no a/b:gone: not found: manifest unknown");
    assert!(said("a/b:busy").await.starts_with("HOST takes no more requests for now: enough;"));
    assert!(said("a/b:old").await.contains("it has the image format 1"));
}

#[tokio::test]
async fn nobody_at_the_address_is_said_with_the_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let reference = Reference::parse(&format!("127.0.0.1:{port}/a")).expect("a reference");
    let error = anonymous().document(&reference).await.expect_err("nobody").to_string();
    assert!(error.starts_with(&format!("cannot reach the registry 127.0.0.1:{port}: ")), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_blob_that_is_there_is_not_sent_and_one_elsewhere_is_mounted() {
    let there = digest_of(b"there");
    let existing = there.clone();
    let fake = Fake::start(move |asked| {
        if asked.line.starts_with("HEAD ") {
            let status = if asked.line.contains(&existing) { "200 OK" } else { "404 Not Found" };
            return reply(status, "", b"");
        }
        if asked.line.contains("mount=") && asked.line.contains("from=other%2Fname") {
            return reply("201 Created", "", b"");
        }
        if asked.line.starts_with("POST ") {
            return reply("202 Accepted", "Location: /upload/1?state=x%3D%3D\r\n", b"");
        }
        assert_eq!(asked.body, b"new");
        assert!(asked.line.starts_with("PUT /upload/1?state=x%3D%3D&digest=sha256%3A"), "{}", asked.line);
        reply("201 Created", "", b"")
    })
    .await;
    let registry = anonymous();
    let reference = fake.reference("a/b");
    let push = async |bytes: &'static [u8], elsewhere: &[String]| {
        let blob = Descriptor { digest: digest_of(bytes), size: bytes.len() as u64, ..Descriptor::default() };
        registry.push_blob(&reference, &blob, elsewhere, &Source::bytes(Bytes::from_static(bytes))).await
    };
    assert_eq!(push(b"there", &[]).await, Ok(Uploaded::Existed));
    assert_eq!(push(b"new", &[]).await, Ok(Uploaded::Sent));
    assert_eq!(push(b"mounted", &["other/name".to_owned()]).await, Ok(Uploaded::Mounted));
}

#[test]
fn the_manifest_of_an_artifact_is_always_the_same() {
    let part = |media_type: &str, text: &'static str| Part {
        media_type: media_type.to_owned(),
        annotations: [("org.example.name".to_owned(), "compose.yaml".to_owned())].into(),
        bytes: Bytes::from_static(text.as_bytes()),
    };
    let artifact = Artifact {
        artifact_type: Some("application/x".to_owned()),
        config: part("application/x.config", "{}"),
        parts: vec![part("application/x.file", "services: {}\n")],
        ..Artifact::default()
    };
    assert_eq!(artifact.manifest(), artifact.clone().manifest());
    let text = String::from_utf8(artifact.manifest().to_vec()).expect("text");
    assert!(text.starts_with(r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/x","config":{"#), "{text}");
}
