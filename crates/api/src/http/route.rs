//! Method and path → [`Operation`]. A fold over the list of operations: there is no route beside it, and a test holds that.

use rustc_hash::FxHashMap;
use undergird_model::Operation;
use undergird_model::operation::RPC;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// To the operation at this position of the list, with the raw (still percent-encoded) `{key}` of its path.
    Found {
        /// Position in the list of operations.
        operation: usize,
        /// What stands for `{key}`.
        key: Option<&'a str>,
    },
    /// The path is known; the method is not. These are.
    NotAllowed {
        /// As in `Allow`.
        allow: &'a str,
    },
    /// `/rest/v1/{name}` of a collection that is not there.
    UnknownCollection {
        /// As written.
        name: &'a str,
    },
    /// `/rest/v1/rpc/{name}` of a function that is not there.
    UnknownFunction {
        /// As written.
        name: &'a str,
    },
    /// Nothing.
    Missing,
}

/// All paths of an application.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Paths without a parameter.
    fixed: FxHashMap<String, Methods>,
    /// `/rest/v1/{collection}/{key}`, by collection.
    rows: FxHashMap<String, Methods>,
    /// Other paths with parameters: their templates, a handful.
    templates: Vec<(String, Methods)>,
}

/// The operations of one path.
#[derive(Clone, Debug, Default)]
struct Methods {
    /// In order of the list; a handful.
    operations: Vec<(&'static str, usize)>,
    /// `Allow`, ready.
    allow: String,
}

const REST: &str = "/rest/v1/";
const KEY: &str = "/{key}";

impl Routes {
    /// The routes of these operations.
    pub fn new(operations: &[Operation]) -> Routes {
        let mut routes = Routes::default();
        for (position, operation) in operations.iter().enumerate() {
            let row = operation.path.strip_prefix(REST).and_then(|rest| rest.strip_suffix(KEY));
            let methods = match row {
                Some(collection) => routes.rows.entry(collection.to_owned()).or_default(),
                None if operation.path.contains('{') => {
                    let known = routes.templates.iter().position(|(template, _)| *template == operation.path);
                    let at = known.unwrap_or_else(|| {
                        routes.templates.push((operation.path.clone(), Methods::default()));
                        routes.templates.len() - 1
                    });
                    &mut routes.templates[at].1
                }
                None => routes.fixed.entry(operation.path.clone()).or_default(),
            };
            methods.operations.push((operation.method, position));
        }
        let templates = routes.templates.iter_mut().map(|(_, methods)| methods);
        for methods in routes.fixed.values_mut().chain(routes.rows.values_mut()).chain(templates) {
            methods.describe();
        }
        routes
    }

    /// Where this request goes. `HEAD` goes where `GET` goes; `OPTIONS` is the pipeline's.
    pub fn find<'a>(&'a self, method: &str, path: &'a str) -> Route<'a> {
        match self.path(path) {
            Ok((methods, key)) => methods.find(method, key),
            Err(route) => route,
        }
    }

    /// The methods of a path, as `Allow` says them.
    pub fn allow<'a>(&'a self, path: &'a str) -> Option<&'a str> {
        self.path(path).ok().map(|(methods, _)| methods.allow.as_str())
    }

    fn path<'a>(&'a self, path: &'a str) -> Result<(&'a Methods, Option<&'a str>), Route<'a>> {
        if let Some(methods) = self.fixed.get(path) {
            return Ok((methods, None));
        }
        if let Some(name) = path.strip_prefix(RPC).filter(|name| !name.is_empty() && !name.contains('/')) {
            return Err(Route::UnknownFunction { name });
        }
        let Some(rest) = path.strip_prefix(REST) else {
            let found = self.templates.iter().find(|(template, _)| fits(template, path));
            return found.map(|(_, methods)| (methods, None)).ok_or(Route::Missing);
        };
        let (collection, key) = rest.split_once('/').map_or((rest, None), |(name, key)| (name, Some(key)));
        match (self.rows.get(collection), key) {
            (Some(methods), Some(key)) if !key.is_empty() && !key.contains('/') => Ok((methods, Some(key))),
            (None, None) if !collection.is_empty() => Err(Route::UnknownCollection { name: collection }),
            _ => Err(Route::Missing),
        }
    }

    /// Every (method, path template) there is, in no particular order. For the test that compares them with the list.
    pub fn all(&self) -> Vec<(&'static str, String, usize)> {
        let fixed = self.fixed.iter().map(|(path, methods)| (path.clone(), methods));
        let rows = self.rows.iter().map(|(collection, methods)| (format!("{REST}{collection}{KEY}"), methods));
        let templates = self.templates.iter().map(|(path, methods)| (path.clone(), methods));
        fixed
            .chain(rows)
            .chain(templates)
            .flat_map(|(path, methods)| {
                methods.operations.iter().map(move |(method, position)| (*method, path.clone(), *position))
            })
            .collect()
    }
}

/// Whether a path is one of a template: step by step the same, with something where a parameter is.
fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

impl Methods {
    fn find<'a>(&'a self, method: &str, key: Option<&'a str>) -> Route<'a> {
        let method = if method == "HEAD" { "GET" } else { method };
        match self.operations.iter().find(|(known, _)| *known == method) {
            Some((_, operation)) => Route::Found { operation: *operation, key },
            None => Route::NotAllowed { allow: &self.allow },
        }
    }

    fn describe(&mut self) {
        let mut names = Vec::new();
        for (method, _) in &self.operations {
            names.push(*method);
            if *method == "GET" {
                names.push("HEAD");
            }
        }
        names.push("OPTIONS");
        self.allow = names.join(", ");
    }
}
