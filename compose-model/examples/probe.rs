#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    clippy::unwrap_used,
    clippy::disallowed_macros
)]
use compose_model::assemble::*;
use compose_model::diagnostic::Diagnostics;
use compose_model::files::DiskFiles;
use compose_model::tree::*;
struct S;
impl Shape for S {
    fn canonical(&self, t: &mut Node, c: &ShapeContext<'_>, d: &mut Diagnostics) {
        compose_model::forms::canonicalise(t, c.no_interpolate, d);
    }
    fn complete(&self, _: &mut Node, _: &ShapeContext<'_>, _: &mut Diagnostics) {}
}
fn json(n: &Node) -> serde_json::Value {
    use serde_json::Value as V;
    match &n.value {
        Value::Mapping(m) => V::Object(m.iter().map(|(k, e)| (k.to_string(), json(&e.value))).collect()),
        Value::Sequence(i) => V::Array(i.iter().map(json).collect()),
        Value::Scalar(s) => match s.typed {
            Typed::Null => V::Null,
            Typed::Bool(b) => V::Bool(b),
            Typed::Int(i) => i.into(),
            Typed::Uint(i) => i.into(),
            Typed::Float(f) => serde_json::json!(f),
            Typed::Time => V::String(compose_model::yaml_types::rfc3339(&s.text)),
            Typed::Text => V::String(s.text.to_string()),
        },
    }
}
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut o = Options {
        environment: std::env::vars().collect(),
        current_directory: std::env::current_dir().unwrap().to_str().unwrap().into(),
        ..Options::default()
    };
    let mut mode = "tree";
    let mut i = 0;
    let mut a: Vec<String> = vec![];
    for x in &args {
        if let Some((k, v)) = x.split_once('=')
            && x.starts_with("--")
        {
            a.push(k.into());
            a.push(v.into());
        } else {
            a.push(x.clone());
        }
    }
    let args = a;
    while i < args.len() {
        let cur = args[i].clone();
        let mut val = || {
            i += 1;
            args[i].clone()
        };
        match cur.as_str() {
            "-f" | "--file" => {
                let v = val();
                o.files.push(v)
            }
            "-p" | "--project-name" => {
                let v = val();
                o.project_name = Some(v)
            }
            "--project-directory" => {
                let v = val();
                o.project_directory = Some(v)
            }
            "--env-file" => {
                let v = val();
                o.env_files.push(v)
            }
            "--profile" => {
                val();
            }
            "--no-interpolate" => o.no_interpolate = true,
            "--no-path-resolution" => o.no_path_resolution = true,
            "--variables" => {
                mode = "variables";
                o.no_interpolate = true
            }
            "--environment" => mode = "environment",
            _ => {}
        }
        i += 1;
    }
    let r = assemble(&o, &DiskFiles, &NoRemote, &S);
    for d in r.diagnostics.iter() {
        eprintln!("{}", d.render(&r.sources, false));
    }
    if r.diagnostics.has_errors() {
        std::process::exit(1)
    }
    match mode {
        "environment" => {
            for (k, v) in &r.environment {
                println!("{k}={v}")
            }
        }
        "variables" => {
            println!("{:<20}{:<20}{:<20}{}", "NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE");
            let mut m = std::collections::BTreeMap::new();
            for v in compose_model::interpolate::variables(&r.tree) {
                m.insert(v.name.clone(), v);
            }
            for v in m.values() {
                println!("{}|{}|{}|{}", v.name, v.required, v.default, v.presence)
            }
        }
        _ => println!("{}", serde_json::to_string(&json(&r.tree)).unwrap()),
    }
}
