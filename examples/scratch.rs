#![allow(clippy::all, clippy::unwrap_used, clippy::print_stdout)]
use dunlin::model::selection::*;
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let (client, conn) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(conn);
    client.batch_execute("SET search_path = ''").await.unwrap();
    let sel = Selection::new(&Patterns {
        include_tables: std::env::args().skip(2).collect(),
        ..Default::default()
    })
    .unwrap();
    use dunlin::source::postgres::{catalog as s, relations as r};
    println!("{:?}", s::server(&client).await.unwrap());
    println!(
        "{:?} {:?}",
        s::flushed(&client).await.unwrap(),
        s::large_objects(&client).await.unwrap()
    );
    let at = std::time::Instant::now();
    let tables = match r::tables(&client, &sel).await {
        Ok(t) => t,
        Err(e) => {
            println!("{e}");
            return;
        }
    };
    println!("tables {:?}", at.elapsed());
    let at = std::time::Instant::now();
    let pl = r::placements(&client, &sel).await.unwrap();
    println!("placements {} {:?}", pl.len(), at.elapsed());
    let at = std::time::Instant::now();
    let sq = s::sequences(&client, &sel).await.unwrap();
    println!(
        "sequences {} {:?} {:?}",
        sq.len(),
        at.elapsed(),
        &sq[..sq.len().min(5)]
    );
    println!("{:?}", s::changes(&client, &[2613, 2995]).await.unwrap());
    use dunlin::target::postgres::catalog as t;
    println!("{:?}", t::server(&client).await.unwrap());
    let names: Vec<_> = tables
        .tables
        .iter()
        .map(|t| t.name.clone())
        .chain(tables.partitioned.iter().map(|t| t.name.clone()))
        .collect();
    let at = std::time::Instant::now();
    let tt = t::tables(&client, &names).await.unwrap();
    println!("target tables {} {:?}", tt.len(), at.elapsed());
    let at = std::time::Instant::now();
    let ex = t::existing_tables(&client, &names).await.unwrap();
    println!("existing {} {:?}", ex.len(), at.elapsed());
    if names.len() < 100 {
        for t in &tables.tables {
            println!(
                "{} {:?} pk={:?} bytes={} rows={} pages={} corr={:?} root={:?} bin={} order={:?}",
                t.name,
                t.identity,
                t.primary_key,
                t.bytes,
                t.estimated_rows,
                t.pages,
                t.correlation,
                t.root,
                t.binary_travels,
                t.columns
                    .iter()
                    .map(|c| (&c.name, &c.type_name, c.order))
                    .collect::<Vec<_>>()
            );
        }
        println!(
            "{:?}",
            tables
                .partitioned
                .iter()
                .map(|p| (&p.name, &p.root, &p.primary_key))
                .collect::<Vec<_>>()
        );
        println!(
            "foreign {:?} unlogged {:?} ext {:?} left {:?}",
            tables.foreign, tables.unlogged, tables.extension_config, tables.left_out
        );
        for t in &tt {
            println!(
                "{} {} {:?}",
                t.name,
                t.partitioned,
                t.columns
                    .iter()
                    .map(|c| (
                        &c.name,
                        &c.cast,
                        c.in_unique_index,
                        c.equality.as_deref().unwrap_or("-")
                    ))
                    .collect::<Vec<_>>()
            );
        }
        println!(
            "{:?}",
            ex.iter()
                .filter(|e| e.has_rows)
                .map(|e| e.name.to_string())
                .collect::<Vec<_>>()
        );
        println!(
            "{:?}",
            pl.iter().filter(|e| e.root.is_some()).collect::<Vec<_>>()
        );
    }
}
