use proptest::prelude::*;

use super::*;

fn score(text: &str) -> Order {
    Order::Score(Score { id: 7, prompt: 1, text: text.to_owned(), within_ms: 1_000 })
}

#[test]
fn messages_come_out_as_they_went_in_one_after_the_other() {
    let orders = [score("where is my card?\n"), Order::Cancel(u64::MAX), score("")];
    let mut bytes = Vec::new();
    orders.iter().for_each(|order| write(&mut bytes, order).unwrap());
    let mut input = bytes.as_slice();
    let read: Vec<Order> = (0..orders.len()).map(|_| super::read(&mut input).unwrap()).collect();
    assert_eq!(read, orders);
    assert!(matches!(super::read::<Order>(&mut input), Err(FrameError::Closed)));
}

#[test]
fn log_likelihoods_keep_every_bit() {
    let log_likelihoods = vec![-0.1_f32, -1.0e-7, -123.456_79, f32::MIN_POSITIVE, -0.0];
    let scored = Report::Scored(Scored { id: 1, tokens: vec![1; 5], log_likelihoods, read: 3 });
    let mut bytes = Vec::new();
    write(&mut bytes, &scored).unwrap();
    assert_eq!(super::read::<Report>(&mut bytes.as_slice()).unwrap(), scored);
}

#[test]
fn the_likeliest_tokens_are_told_byte_by_byte_and_left_out_where_nobody_asked() {
    let token = Written { bytes: 2, log_probability: -0.5, margin: 0.25, text: vec![], likeliest: vec![] };
    let json = serde_json::to_string(&token).unwrap();
    assert_eq!(json, r#"{"bytes":2,"log_probability":-0.5,"margin":0.25}"#);
    // Half a character: it is no text by itself.
    let told = Written {
        text: vec![0xE2, 0x82],
        likeliest: vec![(vec![0xE2, 0x82], -0.5), (vec![], -1.0)],
        ..token
    };
    let json = serde_json::to_string(&told).unwrap();
    assert_eq!(serde_json::from_str::<Written>(&json).unwrap(), told);
}

#[test]
fn a_message_that_is_cut_off_is_an_error_wherever_it_is_cut() {
    let mut bytes = Vec::new();
    write(&mut bytes, &score("text")).unwrap();
    for length in 1..bytes.len() {
        assert!(matches!(super::read::<Order>(&mut &bytes[..length]), Err(FrameError::Io(_))), "{length}");
    }
}

#[test]
fn a_length_beyond_every_message_takes_no_memory() {
    let bytes = u32::MAX.to_le_bytes();
    let error = super::read::<Order>(&mut bytes.as_slice()).unwrap_err();
    assert_eq!(error.to_string(), "a message of 4294967295 bytes, and 33554432 is the most");
}

#[test]
fn a_message_that_is_too_long_is_not_sent() {
    let mut bytes = Vec::new();
    let long = "x".repeat(LONGEST as usize);
    assert!(matches!(write(&mut bytes, &score(&long)), Err(FrameError::TooLong(_))));
    assert!(bytes.is_empty());
}

proptest! {
    #[test]
    fn garbage_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut input = bytes.as_slice();
        while super::read::<Order>(&mut input).is_ok() {}
        let mut framed = (bytes.len() as u32).to_le_bytes().to_vec();
        framed.extend(&bytes);
        prop_assert!(super::read::<Report>(&mut framed.as_slice()).is_err());
    }

    #[test]
    fn a_message_with_one_byte_changed_is_read_or_refused(at in 0_usize..60, byte in any::<u8>()) {
        let mut bytes = Vec::new();
        write(&mut bytes, &score("some text")).unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = super::read::<Order>(&mut bytes.as_slice());
    }

    #[test]
    fn any_log_likelihood_keeps_every_bit(bits in any::<u32>()) {
        let number = f32::from_bits(bits);
        prop_assume!(number.is_finite());
        let token = Written { bytes: 1, log_probability: number, margin: number, text: vec![], likeliest: vec![] };
        let report = Report::Ended { id: 0, end: End::Stop, read: 1, written: vec![token] };
        let mut bytes = Vec::new();
        write(&mut bytes, &report).unwrap();
        let Report::Ended { written, .. } = super::read(&mut bytes.as_slice()).unwrap() else { unreachable!() };
        prop_assert_eq!((written[0].log_probability.to_bits(), written[0].margin.to_bits()), (bits, bits));
    }
}
