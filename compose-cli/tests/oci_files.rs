//! Compose files and image digests in registries, with a registry of the test's own on loopback.

#![allow(clippy::unwrap_used)] // Helpers of tests: a panic is how they fail.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use compose_registry::digest_of;
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const PROJECT: &str = "application/vnd.docker.compose.project";

/// What a registry holds: content with its type, by path below `/v2/`.
#[derive(Default)]
struct Shelf(BTreeMap<String, (String, Vec<u8>)>);

impl Shelf {
    fn blob(&mut self, repository: &str, kind: &str, content: &str) -> Value {
        let digest = digest_of(content.as_bytes());
        let path = format!("{repository}/blobs/{digest}");
        self.0.insert(path, ("application/octet-stream".to_owned(), content.as_bytes().to_vec()));
        json!({"mediaType": kind, "digest": digest, "size": content.len()})
    }

    /// Puts a document there under a tag and its digest, and gives its descriptor.
    fn document(&mut self, repository: &str, tag: &str, document: &Value) -> Value {
        let text = document.to_string();
        let kind = document["mediaType"].as_str().unwrap().to_owned();
        let digest = digest_of(text.as_bytes());
        for name in [tag, &digest] {
            self.0.insert(format!("{repository}/manifests/{name}"), (kind.clone(), text.clone().into_bytes()));
        }
        json!({"mediaType": kind, "digest": digest, "size": text.len()})
    }

    /// Publishes Compose files and env files as `publish` does.
    fn project(&mut self, repository: &str, tag: &str, files: &[(&str, &str)]) -> Value {
        let config = self.blob(repository, "application/vnd.docker.compose.config.empty.v1+json", "{}");
        let layers: Vec<Value> = files
            .iter()
            .map(|(name, content)| {
                let (kind, note) = if name.ends_with(".env") {
                    ("application/vnd.docker.compose.envfile", "com.docker.compose.envfile")
                } else {
                    ("application/vnd.docker.compose.file+yaml", "com.docker.compose.file")
                };
                let mut layer = self.blob(repository, kind, content);
                layer["annotations"] = json!({note: name, "com.docker.compose.version": "v5.6.1"});
                layer
            })
            .collect();
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": PROJECT, "config": config,
                              "layers": layers});
        self.document(repository, tag, &manifest)
    }

    /// Serves it for the rest of the test; gives `HOST:PORT`.
    fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shelf = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shelf = Arc::clone(&shelf);
                std::thread::spawn(move || shelf.answer(stream));
            }
        });
        address
    }

    /// Answers the requests of a connection until it is closed.
    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        loop {
            let request = lines.next()?.ok()?;
            while !lines.next()?.ok()?.is_empty() {}
            let mut words = request.split(' ');
            let (method, path) = (words.next()?, words.next()?);
            let found = path.strip_prefix("/v2/").and_then(|path| self.0.get(path));
            let (status, kind, body) = match found {
                Some((kind, body)) => ("200 OK", kind.as_str(), body.as_slice()),
                None if path == "/v2/" => ("200 OK", "application/json", &b"{}"[..]),
                None => ("404 Not Found", "application/json", &b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}"[..]),
            };
            let digest = digest_of(body);
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
                 Docker-Content-Digest: {digest}\r\n\r\n"
            )
            .ok()?;
            if method != "HEAD" {
                stream.write_all(body).ok()?;
            }
        }
    }
}

fn compose(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_compose"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", folder)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    (output.status.success(), String::from_utf8(text).unwrap())
}

fn accepted(folder: &Path, arguments: &[&str]) -> String {
    let (accepted, text) = compose(folder, arguments);
    assert!(accepted, "{arguments:?}: {text}");
    text
}

#[test]
fn a_published_project_is_read_with_its_overrides_and_env_files() {
    let mut shelf = Shelf::default();
    let files = [
        ("compose.yaml", "services: {web: {image: 'web:one', env_file: [one.env]}}"),
        ("override.yaml", "services: {web: {image: 'web:two'}, db: {image: 'db:1'}}"),
        ("one.env", "COLOUR=red\n"),
    ];
    shelf.project("team/app", "v1", &files);
    let address = shelf.serve();
    let folder = tempfile::tempdir().unwrap();
    let reference = format!("oci://{address}/team/app:v1");
    let text = accepted(folder.path(), &["-p", "shop", "-f", &reference, "config"]);
    assert!(text.contains("image: web:two") && text.contains("image: db:1") && text.contains("COLOUR: red"), "{text}");
}

#[test]
fn a_project_is_found_in_an_index_beside_its_images() {
    let mut shelf = Shelf::default();
    let mut project = shelf.project("app", "inner", &[("compose.yaml", "services: {web: {image: 'web:one'}}")]);
    project["artifactType"] = json!(PROJECT);
    let image = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []});
    let image = shelf.document("app", "image", &image);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image, project]});
    let index = shelf.document("app", "latest", &index);
    let only_images = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [image]});
    shelf.document("app", "images", &only_images);
    let address = shelf.serve();
    let folder = tempfile::tempdir().unwrap();
    let digest = index["digest"].as_str().unwrap();
    for reference in [format!("oci://{address}/app"), format!("oci://{address}/app@{digest}")] {
        assert_eq!(accepted(folder.path(), &["-f", &reference, "config", "--images"]), "web:one\n");
    }
    for (tag, reason) in [("images", "doesn't refer to compose artifacts"), ("none", "none"), ("image", "compose")] {
        let (accepted, text) = compose(folder.path(), &["-f", &format!("oci://{address}/app:{tag}"), "config"]);
        assert!(!accepted && text.contains(reason) && text.contains(&format!("{address}/app:{tag}")), "{text}");
    }
}

#[test]
fn published_projects_are_included_and_extended() {
    let mut shelf = Shelf::default();
    shelf.project("base", "1", &[("compose.yaml", "services: {base: {image: 'base:1', user: '7'}}")]);
    shelf.project("part", "1", &[("compose.yaml", "services: {part: {image: 'part:1'}}")]);
    let address = shelf.serve();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "include: ['oci://{address}/part:1']\n\
         services: {{own: {{extends: {{service: base, file: 'oci://{address}/base:1'}}}}}}\n"
    );
    fs::write(folder.path().join("compose.yaml"), text).unwrap();
    let text = accepted(folder.path(), &["config"]);
    assert!(text.contains("image: base:1") && text.contains("user: \"7\"") && text.contains("image: part:1"), "{text}");
}

#[test]
fn a_part_may_not_leave_the_folder_nor_have_another_content() {
    let mut shelf = Shelf::default();
    shelf.project("away", "1", &[("compose.yaml", "services: {a: {image: x}}"), ("../away.env", "A=1")]);
    let manifest = shelf.project("changed", "1", &[("compose.yaml", "services: {a: {image: x}}")]);
    assert!(manifest["digest"].is_string());
    for (path, (_, body)) in &mut shelf.0 {
        if path.starts_with("changed/blobs/") {
            body.push(b'\n');
        }
    }
    let address = shelf.serve();
    let folder = tempfile::tempdir().unwrap();
    for (name, reason) in [("away", "../away.env"), ("changed", "changed")] {
        let (accepted, text) = compose(folder.path(), &["-f", &format!("oci://{address}/{name}:1"), "config"]);
        assert!(!accepted && text.contains(reason), "{text}");
    }
    assert!(!folder.path().join(".cache/away.env").exists());
}

#[test]
fn images_are_pinned_to_the_digests_of_the_registry() {
    let mut shelf = Shelf::default();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []});
    let digest = shelf.document("web", "7", &manifest)["digest"].as_str().unwrap().to_owned();
    let address = shelf.serve();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "name: shop\nservices: {{web: {{image: '{address}/web:${{TAG:-7}}', user: '1'}}, own: {{build: .}}}}\n"
    );
    fs::write(folder.path().join("compose.yaml"), text).unwrap();
    let pinned = format!("{address}/web:7@{digest}");
    let resolved = accepted(folder.path(), &["config", "--resolve-image-digests"]);
    assert!(resolved.contains(&format!("image: {pinned}\n")) && resolved.contains("user: \"1\""), "{resolved}");
    let locked = accepted(folder.path(), &["config", "--lock-image-digests"]);
    assert!(locked.contains(&format!("image: {pinned}\n")) && !locked.contains("user"), "{locked}");
    // The lock is an override: laid over the project, nothing is asked any more.
    fs::write(folder.path().join("lock.yaml"), locked).unwrap();
    let files = ["-f", "compose.yaml", "-f", "lock.yaml", "config", "--images"];
    assert!(accepted(folder.path(), &files).contains(&pinned));
    let (accepted, text) =
        compose(folder.path(), &["-f", "compose.yaml", "config", "--resolve-image-digests", "--hash", "*"]);
    assert!(accepted, "{text}");
}
