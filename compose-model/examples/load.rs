//! Loads a project from texts in memory and prints what it means.
//!
//! Run it with `cargo run -p compose-model --example load`.

use compose_model::assemble::Options;
use compose_model::files::MemoryFiles;
use compose_model::{LoadOptions, canonical, load};

fn main() {
    let files = MemoryFiles::new()
        .with("/shop/compose.yaml", "services:\n  web:\n    image: shop/web:${TAG:-latest}\n    ports: ['8080:80']\n")
        .with("/shop/.env", "TAG=7\n");
    let options = LoadOptions {
        input: Options { current_directory: "/shop".to_owned(), ..Options::default() },
        ..LoadOptions::default()
    };
    match load(&options, &files) {
        Ok(loaded) => {
            print(&canonical::yaml(&loaded.project));
            for (name, service) in &loaded.project.services {
                let place = loaded.project.origins.nearest(&format!("services.{name}.image"));
                let place = place.map(ToString::to_string).unwrap_or_default();
                print(&format!("{name}: hash {}, image from {place}\n", canonical::service_hash(service)));
            }
        }
        Err(error) => print(&error.render(false)),
    }
}

#[allow(clippy::print_stdout)] // An example may print.
fn print(text: &str) {
    print!("{text}");
}
