// Colours as vectors in a vecfs mount: rustc colours.rs && ./colours MOUNT
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

/// Numbers as little-endian float32.
fn floats(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn main() -> io::Result<()> {
    let argument = std::env::args().nth(1).expect("usage: colours MOUNT");
    let mount = Path::new(&argument);
    let colours: [(&str, [f32; 3]); 3] = [
        ("red", [1.0, 0.0, 0.0]),
        ("orange", [1.0, 0.5, 0.0]),
        ("blue", [0.0, 0.0, 1.0]),
    ];
    for (name, numbers) in &colours {
        fs::write(mount.join("vectors").join(name), floats(numbers))?;
    }

    let mut run = OpenOptions::new()
        .read(true)
        .write(true)
        .open(mount.join("query/2/run"))?;
    run.write_all(&floats(&[1.0, 0.2, 0.1]))?;
    let mut answer = String::new();
    run.read_to_string(&mut answer)?;
    for line in answer.lines() {
        let (name, distance) = line.split_once('\t').expect("id, tab, distance");
        let distance: f64 = distance.parse().expect("a number");
        println!("{name}\t{distance:.3}");
    }

    for (name, _) in &colours {
        fs::remove_file(mount.join("vectors").join(name))?;
    }
    Ok(())
}
