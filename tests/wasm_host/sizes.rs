//! Components of shapes that a compiler takes long for: refused before it sees them.

use crate::load::{plain, refused};
use crate::support::*;
use omnifs::wasm::Component;
use std::time::{Duration, Instant};

fn leb(mut n: u32) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let b = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(b);
            return out;
        }
        out.push(b | 0x80);
    }
}
fn section(id: u8, payload: &[u8]) -> Vec<u8> {
    [vec![id], leb(payload.len() as u32), payload.to_vec()].concat()
}
fn module(bodies: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let n = leb(bodies.len() as u32);
    let mut code = n.clone();
    for (locals, body) in bodies {
        let l = if *locals == 0 { vec![0] } else { [vec![1], leb(*locals), vec![0x7f]].concat() };
        let b = [l, body.clone(), vec![0x0b]].concat();
        code.extend(leb(b.len() as u32));
        code.extend(b);
    }
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[n, vec![0; bodies.len()]].concat()),
        section(10, &code),
    ]
    .concat()
}
fn get(i: u32) -> Vec<u8> {
    [vec![0x20], leb(i)].concat()
}
fn set(i: u32) -> Vec<u8> {
    [vec![0x21], leb(i)].concat()
}

fn branchy(size: usize, l: u32) -> (u32, Vec<u8>) {
    let mut b = vec![0x03, 0x40];
    let mut k = 0u32;
    while b.len() < size {
        b.extend([0x02, 0x40]);
        b.extend(get(k % l));
        b.extend([0x0d, 0]);
        b.extend(get((k * 7 + 1) % l));
        b.extend(get((k * 5 + 1) % l));
        b.push(0x6a);
        b.extend(set((k * 3 + 1) % l));
        b.push(0x0b);
        k = k.wrapping_add(1);
    }
    b.extend(get(0));
    b.extend([0x0d, 0, 0x0b]);
    (l, b)
}
fn nested_loops(d: usize, l: u32) -> (u32, Vec<u8>) {
    let mut b = Vec::new();
    for _ in 0..d {
        b.extend([0x03, 0x40]);
    }
    for k in 0..l {
        b.extend(get(k));
        b.extend(get((k + 1) % l));
        b.push(0x6a);
        b.extend(set(k));
    }
    for _ in 0..d {
        b.extend(get(0));
        b.extend([0x0d, 0, 0x0b]);
    }
    (l, b)
}
fn table(d: usize, l: u32) -> (u32, Vec<u8>) {
    let mut b = vec![0x03, 0x40];
    for _ in 0..d {
        b.extend([0x02, 0x40]);
    }
    b.extend(get(0));
    b.push(0x0e);
    b.extend(leb(d as u32 - 1));
    for i in 0..d {
        b.extend(leb(i as u32));
    }
    for k in 0..d as u32 {
        b.push(0x0b);
        for j in 0..4 {
            b.extend(get((k + j) % l));
            b.extend(get((k * 7 + j) % l));
            b.push(0x6a);
            b.extend(set((k * 3 + j) % l));
        }
        b.extend(get(k % l));
        b.extend([0x0d]);
        b.extend(leb((d as u32 - 1).saturating_sub(k)));
    }
    b.push(0x0b);
    (l, b)
}

/// A component that would load, with a module besides.
fn with(module: &[u8]) -> Vec<u8> {
    [plain(), section(1, module)].concat()
}

/// Refused at once.
#[track_caller]
fn beyond(bytes: &[u8], why: &str) {
    let began = Instant::now();
    refused(bytes, why);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn a_function_that_a_compiler_takes_long_for_is_refused_at_once() {
    for (function, why) in [
        (branchy(260 << 10, 10), "bytes in one function, more than 262144"),
        ((20_000, vec![]), "has 20000 local variables in one function, more than 10000"),
        // 7 KiB, and a minute.
        (nested_loops(1000, 100), "has 65 loops within each other, more than 64"),
        (nested_loops(60, 9000), "steps to compile its large functions"),
        (table(2000, 1000), "steps to compile its large functions"),
        (table(5000, 1), "has 4001 blocks within each other, more than 4000"),
    ] {
        beyond(&with(&module(&[function])), why);
    }
}

#[test]
fn too_many_functions_are_refused_at_once() {
    beyond(&with(&module(&vec![(0, vec![]); 100_001])), "has 100001 functions, more than 100000");
    // In modules that hold less each, and so for what is lifted.
    let half = section(1, &module(&vec![(0, vec![]); 60_000]));
    beyond(&[plain(), half.clone(), half].concat(), "has 100001 functions");
    let lifted = [leb(100_001), [0, 0, 0, 0, 0].repeat(100_001)].concat();
    beyond(&[plain(), section(8, &lifted)].concat(), "functions, more than 100000");
    let large = module(&vec![branchy(180 << 10, 300); 6]);
    beyond(&with(&large), "steps to compile its large functions");
    // Each function is small and the code is not.
    let much = module(&vec![(0, vec![0x01; 1000]); 26_000]);
    beyond(&with(&much), "bytes of code, more than 25165824");
}

#[test]
fn a_signature_with_more_than_any_program_has_is_refused() {
    let signature = |takes: usize, gives: usize| {
        let list = |number: usize| [leb(number as u32), vec![0x7f; number]].concat();
        let types = [vec![1, 0x60], list(takes), list(gives)].concat();
        [b"\0asm\x01\0\0\0".to_vec(), section(1, &types)].concat()
    };
    refused(&with(&signature(129, 0)), "has 129 parameters of one function, more than 128");
    refused(&with(&signature(0, 17)), "has 17 results of one function, more than 16");
    Component::load(&ENGINE, &with(&signature(128, 16)), "large", None).unwrap();
}

#[test]
fn components_that_multiply_each_other_are_refused_at_once() {
    // Each instantiates the one in it ten times: ten million instances.
    let mut text = "(component)".to_owned();
    for _ in 0..5 {
        let many = "(instance (instantiate $c))".repeat(10);
        text = format!("(component {} {many})", text.replacen("(component", "(component $c", 1));
    }
    let nested = wat::parse_str(&text).unwrap();
    let first = [1, 0, 0, 0];
    let bytes = [plain(), section(4, &nested), section(5, &first)].concat();
    beyond(&bytes, "instances of components, more than 1000");
    // From outside, how many they make cannot be told.
    let outer = "(component (component $a) (component (alias outer 1 $a (component $b))
        (instance (instantiate $b))))";
    let import = "(component (import \"c\" (component $c)) (instance (instantiate $c)))";
    for text in [outer, import] {
        let nested = wat::parse_str(text).unwrap();
        beyond(&[plain(), section(4, &nested)].concat(), "takes a component from outside");
    }
    let mut deep = "(component)".to_owned();
    for _ in 0..10 {
        deep = format!("(component {deep})");
    }
    let deep = wat::parse_str(&deep).unwrap();
    beyond(&[plain(), section(4, &deep)].concat(), "levels of components, more than 8");
    let many = section(1, &module(&[])).repeat(200);
    beyond(&[plain(), many].concat(), "modules and components, more than 128");
}

#[test]
fn an_import_that_is_not_offered_is_refused_before_anything_is_compiled() {
    // It would take a compiler longer.
    let large = section(1, &module(&[branchy(250 << 10, 10)]));
    let door = wat::parse_str("(component (import \"door\" (func)))").unwrap();
    beyond(&[plain(), door[8..].to_vec(), large].concat(), "imports `door`: a provider reaches");
}

#[test]
fn what_is_as_large_as_an_interpreter_is_within_the_bounds() {
    // The shape of one, but for the many small functions: two large ones of 120 KiB, with 300
    // variables, in a loop around a switch.
    let large = module(&[branchy(120 << 10, 300), branchy(100 << 10, 300), table(200, 300)]);
    let small = module(&vec![branchy(300, 8); 2000]);
    let bytes = [plain(), section(1, &large), section(1, &small)].concat();
    Component::load(&ENGINE, &bytes, "interpreter", None).unwrap();
}

/// A module whose one function adds to addresses and stores them, as many as that.
fn relocations(number: usize) -> Vec<u8> {
    // At 0: the address of a global, and 1.
    relocating(&[0x41, 0, 0x23, 0, 0x41, 1, 0x6a, 0x36, 2, 0].repeat(number))
}

/// A module with a memory and a global, and one function of these operators.
fn relocating(operators: &[u8]) -> Vec<u8> {
    let body = [&[0][..], operators, &[0x0b]].concat();
    let code = [leb(1), leb(body.len() as u32), body].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(5, &[1, 0, 1]),
        section(6, &[1, 0x7f, 0, 0x41, 8, 0x0b]),
        section(10, &code),
    ]
    .concat()
}

/// The largest function of a Python component has 420 KiB, and a compiler takes half a second for it.
#[test]
fn a_function_of_relocations_alone_may_be_larger_than_others() {
    Component::load(&ENGINE, &with(&relocations(42 << 10)), "relocations", None).unwrap();
    beyond(&with(&relocations(105 << 10)), "bytes of relocations, more than 1048576");
    // One operator more, and it is a function like any other.
    let mut branching = relocations(42 << 10);
    let last = branching.len() - 1;
    assert_eq!(branching[last], 0x0b);
    branching[last - 10] = 0x0f;
    branching[last - 9..last].fill(0x01);
    beyond(&with(&branching), "bytes in one function, more than 262144");
}

/// What is loaded first is added last, and a compiler keeps all of it until then.
#[test]
fn relocations_that_keep_many_values_are_a_function_like_any_other() {
    // At 0: what so many places hold, added from the last to the first.
    let sum = |values: usize| -> Vec<u8> {
        let load = [0x23, 0, 0x28, 2, 0].repeat(values);
        [vec![0x41, 0], load, [0x6a].repeat(values - 1), vec![0x36, 2, 0]].concat()
    };
    let many = |values: usize, bytes: usize| relocating(&sum(values).repeat(bytes / (6 * values)));
    Component::load(&ENGINE, &with(&many(14, 300 << 10)), "sums", None).unwrap();
    for deep in [many(15, 300 << 10), relocating(&sum(150_000))] {
        beyond(&with(&deep), "bytes in one function, more than 262144");
    }
}

/// They are computed at each call, where no clock stops them.
#[test]
fn a_constant_may_add_a_few_times_and_not_many() {
    let constant = |additions: usize| {
        let more = [0x41, 1, 0x6a].repeat(additions);
        [vec![0x41, 0], more, vec![0x0b]].concat()
    };
    let module = |sections: &[Vec<u8>]| [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat();
    let memory = || section(5, &[1, 0, 1]);
    let table = || section(4, &[1, 0x70, 0, 1]);
    let cases = |additions: usize| {
        let constant = constant(additions);
        [
            module(&[section(6, &[vec![1, 0x7f, 0], constant.clone()].concat())]),
            module(&[memory(), section(11, &[vec![1, 0], constant.clone(), vec![0]].concat())]),
            module(&[table(), section(9, &[vec![1, 0], constant, vec![0]].concat())]),
        ]
    };
    for (few, many) in cases(7).iter().zip(cases(8)) {
        Component::load(&ENGINE, &with(few), "constants", None).unwrap();
        beyond(&with(&many), "has 17 operators of one constant, more than 16");
    }
}

#[test]
fn a_component_may_have_as_many_modules_as_an_interpreter_with_its_libraries() {
    let instances = |number: usize| {
        let all = "(core instance (instantiate $m))".repeat(number);
        let text = format!("(component (core module $m) {all})");
        let bytes = wat::parse_str(text).unwrap();
        [plain(), section(4, &bytes), section(5, &[1, 0, 0, 0])].concat()
    };
    Component::load(&ENGINE, &instances(30), "many", None).unwrap();
    refused(&instances(33), "exceeds the configured maximum of 32");
}
