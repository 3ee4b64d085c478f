//! The crates of the workspace as modules, read by `syn`: what each module declares and which paths it names. Tests are
//! left out. Names are resolved as far as imports, re-exports and globs go; the compiler does the rest.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, Item, UseTree, Visibility};

use super::file::File;
use super::scan::{code_only, is_of_a_name};

/// The modules of one crate.
pub(super) struct Crate {
    /// The path of its first file.
    pub(super) root: String,
    /// By their paths; that of the root is empty.
    pub(super) modules: BTreeMap<Vec<String>, Module>,
}

/// What a module declares and names, the modules below it aside.
#[derive(Default)]
pub(super) struct Module {
    pub(super) file: String,
    /// Its types that other modules can name.
    pub(super) types: BTreeSet<String>,
    items: BTreeSet<String>,
    imports: BTreeMap<String, Import>,
    globs: Vec<Import>,
    /// Each path in its code, as it is written there.
    named: BTreeSet<Vec<String>>,
}

#[derive(Clone)]
struct Import {
    path: Vec<String>,
    /// A re-export counts as a use only if the module itself names it, too.
    is_reexport: bool,
}

/// The crates that these files make. A file that is no Rust is left out; the compiler says why.
pub(super) fn of(files: &[File]) -> Vec<Crate> {
    let texts: BTreeMap<&str, &str> = files.iter().map(|file| (file.path, file.text)).collect();
    let roots = texts.keys().filter(|path| is_root(path));
    roots.map(|root| read(root, &texts)).collect()
}

fn is_root(path: &str) -> bool {
    let Some((folder, file)) = path.rsplit_once('/') else { return false };
    let is_crate = path.starts_with("crates/") || path.starts_with("xtask/");
    is_crate
        && ((folder.ends_with("/src") && (file == "lib.rs" || file == "main.rs"))
            || (folder.ends_with("/src/bin") && file.ends_with(".rs")))
}

fn read(root: &str, texts: &BTreeMap<&str, &str>) -> Crate {
    let mut read = Crate { root: root.to_owned(), modules: BTreeMap::new() };
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut waiting = vec![(Vec::new(), root.to_owned())];
    while let Some((path, file)) = waiting.pop() {
        let Some(parsed) = texts.get(file.as_str()).and_then(|text| syn::parse_file(text).ok()) else {
            continue;
        };
        for module in add(&mut read, path, &file, &parsed.items) {
            let below = format!("{folder}/{}", module.join("/"));
            let places = [format!("{below}.rs"), format!("{below}/mod.rs")];
            let place = places.into_iter().find(|place| texts.contains_key(place.as_str()));
            waiting.extend(place.map(|place| (module, place)));
        }
    }
    read
}

/// Adds a module and those within its file; gives those that have files of their own.
fn add(to: &mut Crate, path: Vec<String>, file: &str, items: &[Item]) -> Vec<Vec<String>> {
    let mut module = Module { file: file.to_owned(), ..Module::default() };
    let mut elsewhere = Vec::new();
    for item in items {
        let Item::Mod(child) = item else {
            module.visit_item(item);
            continue;
        };
        if is_of_tests(&child.attrs) {
            continue;
        }
        let child_path = below(&path, &child.ident.to_string());
        match &child.content {
            Some((_, items)) => elsewhere.extend(add(to, child_path, file, items)),
            None => elsewhere.push(child_path),
        }
    }
    to.modules.insert(path, module);
    elsewhere
}

fn is_of_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if let syn::Meta::List(list) = &attribute.meta
            && list.path.is_ident("cfg")
        {
            let condition = list.tokens.to_string();
            return condition.split(|character| !is_of_a_name(character)).any(|word| word == "test");
        }
        attribute.path().segments.last().is_some_and(|last| last.ident == "test")
    })
}

impl Module {
    fn declare(&mut self, name: &syn::Ident) {
        self.items.insert(name.to_string());
    }

    fn declare_type(&mut self, name: &syn::Ident, visibility: &Visibility) {
        self.declare(name);
        if !matches!(visibility, Visibility::Inherited) {
            self.types.insert(name.to_string());
        }
    }

    fn import(&mut self, mut path: Vec<String>, tree: &UseTree, is_reexport: bool) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                self.import(path, &step.tree, is_reexport);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.import(path.clone(), tree, is_reexport));
            }
            UseTree::Glob(_) => self.globs.push(Import { path, is_reexport }),
            UseTree::Name(name) if name.ident == "self" => {
                let name = path.last().cloned().unwrap_or_default();
                self.imports.insert(name, Import { path, is_reexport });
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                self.imports.insert(name.ident.to_string(), Import { path, is_reexport });
            }
            UseTree::Rename(rename) => {
                if rename.ident != "self" {
                    path.push(rename.ident.to_string());
                }
                self.imports.insert(rename.rename.to_string(), Import { path, is_reexport });
            }
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others declare nothing that a path names")]
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return,
        };
        if is_of_tests(attributes) {
            return;
        }
        match item {
            Item::Const(item) => self.declare(&item.ident),
            Item::Enum(item) => self.declare_type(&item.ident, &item.vis),
            Item::Fn(item) => self.declare(&item.sig.ident),
            Item::Macro(item) => item.ident.iter().for_each(|name| self.declare(name)),
            Item::Static(item) => self.declare(&item.ident),
            Item::Struct(item) => self.declare_type(&item.ident, &item.vis),
            Item::Trait(item) => self.declare_type(&item.ident, &item.vis),
            Item::Type(item) => self.declare_type(&item.ident, &item.vis),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.import(Vec::new(), &item.tree, is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.named.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    /// What a macro is given need not be Rust, so every path in it counts.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        let tokens = code_only(&call.tokens.to_string()).replace(" ::", "::").replace(":: ", "::");
        let paths = tokens.split(|character| !is_of_a_name(character) && character != ':');
        self.named.extend(
            paths
                .filter(|path| !path.is_empty())
                .map(|path| path.split("::").map(str::to_owned).collect::<Vec<String>>()),
        );
    }

    // `pub(super)` and the like name no module.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, _: &'ast Attribute) {}
}

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Target<'a> {
    /// The module itself, or the one that declares the item.
    module: &'a [String],
    is_item: bool,
}

impl Crate {
    /// What each module uses of the others. Re-exporting is no use, and a name counts for the module that declares it,
    /// wherever it was imported from.
    pub(super) fn uses(&self) -> BTreeMap<&[String], BTreeSet<&[String]>> {
        let mut uses = BTreeMap::new();
        for (at, module) in &self.modules {
            let own = module.imports.values().chain(&module.globs).filter(|import| !import.is_reexport);
            let imported = own.filter_map(|import| self.target(at, &import.path, DEPTH_MAX));
            let named = module.named.iter().filter_map(|path| {
                let target = self.target(at, path, DEPTH_MAX)?;
                // A single word is an item. Where it is a module, it is a variable of the same name.
                (target.is_item || path.len() > 1).then_some(target)
            });
            let used = imported.chain(named).map(|target| target.module);
            uses.insert(at.as_slice(), used.filter(|used| *used != at.as_slice()).collect());
        }
        uses
    }

    /// What the path means in the module `at`.
    fn target(&self, at: &[String], path: &[String], depth: usize) -> Option<Target<'_>> {
        let depth = depth.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.within(&[], rest, depth),
            "self" => self.within(at, rest, depth),
            "super" => {
                let parent = at.split_last()?.1;
                match rest.first().map(String::as_str) {
                    Some("super") => self.target(parent, rest, depth),
                    Some(_) | None => self.within(parent, rest, depth),
                }
            }
            name if self.is_in_scope(at, name) => self.within(at, path, depth),
            _ => None,
        }
    }

    /// Whether the module itself declares or imports that name. Else it is another crate's, or a variable's.
    fn is_in_scope(&self, at: &[String], name: &str) -> bool {
        let declares = |module: &Module| module.imports.contains_key(name) || module.items.contains(name);
        self.modules.contains_key(&below(at, name)) || self.modules.get(at).is_some_and(declares)
    }

    /// The same for a path that begins in the module `at`.
    fn within(&self, at: &[String], path: &[String], depth: usize) -> Option<Target<'_>> {
        let (at, module) = self.modules.get_key_value(at)?;
        let Some((name, rest)) = path.split_first() else {
            return Some(Target { module: at.as_slice(), is_item: false });
        };
        let child = below(at, name);
        if self.modules.contains_key(&child) {
            return self.within(&child, rest, depth);
        }
        let of_its_own = Target { module: at.as_slice(), is_item: true };
        if module.items.contains(name) {
            return Some(of_its_own);
        }
        if let Some(import) = module.imports.get(name) {
            return self.target(at, &[import.path.as_slice(), rest].concat(), depth);
        }
        let from_globs = module.globs.iter().find_map(|glob| {
            let found = self.target(at, &[glob.path.as_slice(), path].concat(), depth)?;
            self.modules.get(found.module)?.items.contains(name).then_some(found)
        });
        Some(from_globs.unwrap_or(of_its_own))
    }
}

fn below(path: &[String], name: &str) -> Vec<String> {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// How many imports of imports are followed: more are a circle.
const DEPTH_MAX: usize = 20;
