use super::*;
use crate::extract::DateOrder;

fn field(kind: FieldType) -> Field {
    Field {
        name: "f".to_owned(),
        kind,
        required: false,
        description: String::new(),
        pattern: None,
        examples: Vec::new(),
        values: ["small", "large", "extra large"].map(str::to_owned).to_vec(),
        synonyms: [("big".to_owned(), "large".to_owned())].into(),
        order: None,
        currency: None,
        decimal: '.',
    }
}

#[test]
fn a_number_is_read_in_every_usual_dress_and_no_other() {
    let english = field(FieldType::Number);
    let german = Field { decimal: ',', ..english.clone() };
    for (text, point, comma) in [
        ("1,234.50", Some(1234.5), Some(1234.5)),
        ("1.234,50", Some(1234.5), Some(1234.5)),
        ("1,234", Some(1234.0), Some(1.234)),
        ("1.234", Some(1.234), Some(1234.0)),
        ("1 234,5", Some(1234.5), Some(1234.5)),
        ("1'234'567", Some(1_234_567.0), Some(1_234_567.0)),
        ("12,50", Some(12.5), Some(12.5)),
        (".5", Some(0.5), Some(0.5)),
        ("5.", None, None),
        ("7,", None, None),
        ("-3", Some(-3.0), Some(-3.0)),
        ("(3.25)", Some(-3.25), Some(-3.25)),
        ("007", Some(7.0), Some(7.0)),
        ("1,23,456", None, None),
        ("12.34.56", None, None),
        ("1.2,3.4", None, None),
        ("12%", None, None),
        ("four", None, None),
        ("", None, None),
        (".", None, None),
    ] {
        for (field, expected) in [(&english, point), (&german, comma)] {
            assert_eq!(field.read(text), expected.and_then(number_value), "{text:?} {}", field.decimal);
        }
    }
    assert_eq!(english.value(&json!(9.0)), Some(json!(9)), "whole numbers have no fraction");
}

#[test]
fn a_day_is_read_where_it_leaves_no_doubt_or_an_order_is_declared() {
    let read = |text: &str, order| Field { order, ..field(FieldType::Date) }.read(text);
    let (dmy, mdy, ymd) = (Some(DateOrder::Dmy), Some(DateOrder::Mdy), Some(DateOrder::Ymd));
    for (text, order, expected) in [
        ("2018-12-25", None, Some("2018-12-25")),
        ("2018/12/25", mdy, Some("2018-12-25")),
        ("25/12/2018", None, Some("2018-12-25")),
        ("12/25/2018", None, Some("2018-12-25")),
        ("03/04/2018", None, None),
        ("04/04/2018", None, Some("2018-04-04")),
        ("03/04/2018", dmy, Some("2018-04-03")),
        ("03.04.18", mdy, Some("2018-03-04")),
        ("18/04/03", ymd, Some("2018-04-03")),
        ("25 Dec 2018", None, Some("2018-12-25")),
        ("Tue, December 25th, 2018", None, Some("2018-12-25")),
        ("25-DEC-18", None, Some("2018-12-25")),
        ("2018 December 25", None, Some("2018-12-25")),
        ("29 Feb 2019", None, None),
        ("29 Feb 2020", None, Some("2020-02-29")),
        ("31/04/2018", dmy, None),
        ("25 Dec", None, None),
        ("December 25, 2018,", None, None),
        (", December 25, 2018", None, None),
        ("tomorrow", None, None),
        ("May May 2018", None, None),
        ("", dmy, None),
    ] {
        assert_eq!(read(text, order), expected.map(Value::from), "{text:?} {order:?}");
    }
}

#[test]
fn money_is_an_amount_with_the_currency_that_stands_beside_it() {
    let euros = Field { currency: Some("EUR".into()), ..field(FieldType::Money) };
    let canadian = Field { currency: Some("CAD".into()), ..field(FieldType::Money) };
    let bare = field(FieldType::Money);
    for (field, text, expected) in [
        (&bare, "$1,234.50", Some(json!({"amount": 1234.5, "currency": "USD"}))),
        (&canadian, "$5", Some(json!({"amount": 5, "currency": "CAD"}))),
        (&canadian, "US$5", Some(json!({"amount": 5, "currency": "USD"}))),
        (&bare, "RM 9.00", Some(json!({"amount": 9, "currency": "MYR"}))),
        (&bare, "9.00 EUR", Some(json!({"amount": 9, "currency": "EUR"}))),
        (&bare, "€ 1.234,50", Some(json!({"amount": 1234.5, "currency": "EUR"}))),
        (&bare, "$2.5 million", Some(json!({"amount": 2_500_000, "currency": "USD"}))),
        (&bare, "9.00", Some(json!({"amount": 9}))),
        (&euros, "9.00", Some(json!({"amount": 9, "currency": "EUR"}))),
        (&bare, "-$5", None),
        (&bare, "$-5", Some(json!({"amount": -5, "currency": "USD"}))),
        (&bare, "9 apples", None),
        (&bare, "$ 9 EUR", None),
        (&bare, "EUR", None),
    ] {
        assert_eq!(field.read(text), expected, "{text:?}");
    }
    for (said, expected) in [
        (json!({"amount": "1,234.50", "currency": "€"}), Some(json!({"amount": 1234.5, "currency": "EUR"}))),
        (json!({"currency": null, "amount": 9.0}), Some(json!({"amount": 9, "currency": "EUR"}))),
        (json!(9.5), Some(json!({"amount": 9.5, "currency": "EUR"}))),
        (json!({"amount": 9, "currency": "shells"}), None),
        (json!({"amount": 9, "tax": 1}), None),
        (json!({"currency": "EUR"}), None),
    ] {
        assert_eq!(euros.value(&said), expected, "{said}");
    }
}

#[test]
fn an_enum_is_a_declared_value_a_synonym_or_a_slip_of_the_pen() {
    let size = field(FieldType::Enum);
    for (said, read, value) in [
        ("Small", Some("small"), Some("small")),
        ("BIG", Some("large"), Some("large")),
        ("extra  large", Some("extra large"), Some("extra large")),
        ("smal", None, Some("small")),
        ("purple", None, None),
    ] {
        assert_eq!(size.read(said), read.map(Value::from), "{said}");
        assert_eq!(size.value(&json!(said)), value.map(Value::from), "{said}");
    }
}

#[test]
fn texts_lose_idle_white_space_and_lists_their_order() {
    let list = field(FieldType::List);
    assert_eq!(field(FieldType::Text).value(&json!(" Urban\n Hits ")), Some(json!("Urban Hits")));
    assert_eq!(list.value(&json!(["milk", "eggs", " milk ", null])), Some(json!(["eggs", "milk"])));
    assert_eq!(list.value(&json!("milk")), Some(json!(["milk"])));
    assert_eq!(list.value(&json!([1])), None);
}

proptest::proptest! {
    #[test]
    fn what_was_read_is_read_the_same_again(text in "[-+$€0-9., ]{0,12}|\\PC{0,12}", of in 0_usize..6) {
        let field = Field { order: Some(DateOrder::Dmy), ..field(FieldType::ALL[of]) };
        if let Some(value) = field.read(&text) {
            proptest::prop_assert_eq!(field.value(&value), Some(value));
        }
    }
}
