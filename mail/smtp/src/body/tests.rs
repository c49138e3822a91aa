use super::*;

#[test]
fn octets_come_out_in_chunks_and_in_order() {
    let bytes: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    let mut body = Body::new(200_000, Budget::new(1 << 20));
    bytes.chunks(777).for_each(|piece| body.push(piece));
    assert_eq!((body.room(), body.overflow()), (0, None));
    let (chunks, paid) = body.finish();
    assert_eq!(chunks.concat(), bytes);
    assert!(chunks.iter().all(|chunk| chunk.len() <= CHUNK) && paid.is_some());
}

#[test]
fn one_octet_too_many_is_an_overflow_that_frees_everything() {
    let budget = Budget::new(CHUNK);
    let mut body = Body::new(10, budget.clone());
    body.push(b"0123456789");
    assert_eq!(body.overflow(), None);
    body.push(b"0");
    assert_eq!(body.overflow(), Some(Overflow::Size));
    assert_eq!(budget.0.available_permits(), 1);
    assert_eq!(body.finish().0, Vec::<Bytes>::new());
}

#[test]
fn a_used_up_budget_refuses_the_next_message_and_not_the_present_one() {
    let budget = Budget::new(2 * CHUNK);
    let mut first = Body::new(1 << 20, budget.clone());
    first.push(&vec![1; 2 * CHUNK]);
    let mut second = Body::new(1 << 20, budget.clone());
    second.push(b"x");
    assert_eq!((first.overflow(), second.overflow()), (None, Some(Overflow::Memory)));
    drop(first);
    let mut third = Body::new(1 << 20, budget);
    third.push(b"x");
    assert_eq!(third.overflow(), None);
}
