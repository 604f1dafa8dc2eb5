//! Compiles the generated parser.

fn main() {
    let mut parser = cc::Build::new();
    parser.std("c11").include("src").file("src/parser.c").file("src/scanner.c").warnings(false);
    parser.compile("tree-sitter-tamis");
    println!("cargo:rerun-if-changed=src");
}
