//! The files that dress the sign-in pages: the application's picture and its CSS. Both are named by the definition, which is checked to name
//! nothing outside the application's directory.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use undergird_api::auth::pages::Dress;
use undergird_model::settings::Ui;

/// Greatest file.
const BYTES_MAX: u64 = 512 * 1024;

/// What the settings name, read. `by_default`: whether there are pages where the settings do not say.
///
/// # Errors
/// A file that cannot be read, for people.
pub(crate) fn read(ui: &Ui, directory: &Path, by_default: bool) -> Result<Dress, String> {
    let stylesheet = ui.stylesheet.as_ref().map(|name| file("stylesheet", name, directory)).transpose()?;
    let logo = match &ui.logo {
        None => None,
        Some(name) => Some((kind(name), file("logo", name, directory)?)),
    };
    Ok(Dress { by_default, stylesheet, logo })
}

fn file(key: &str, name: &str, directory: &Path) -> Result<Vec<u8>, String> {
    let path = directory.join(name);
    let shown = |error: std::io::Error| format!("[auth.ui] {key}: cannot read {}: {error}", path.display());
    let mut bytes = Vec::new();
    File::open(&path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(shown)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("[auth.ui] {key}: {} is larger than {BYTES_MAX} bytes", path.display()));
    }
    Ok(bytes)
}

fn kind(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        _ => "image/jpeg",
    }
}
