//! Templates, scripts for browsers and calls in PHP, and texts like them.

use super::check;
use crate::attack::{code, script, template};

#[test]
fn sums_and_calls_in_templates_are_found() {
    let attacks = [
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "*{7*7}",
        "<%= 7*7 %>",
        "@(7*7)",
        "{{7*'7'}}",
        "{{ 7 * 7 }}",
        "${{7*7}}",
        "%{7*7}",
        "[[7*7]]",
        "~{7*7}",
        "%40118*44210%",
        "{{config.items()}}",
        "{{''.__class__.__mro__}}",
        "{{constructor.constructor('x')()}}",
        "${T(java.lang.Runtime).getRuntime().exec('id')}",
        "<%= system('id') %>",
        "{{_self.env.x}}",
        "{% for x in ().__class__ %}",
        "${\"freemarker.template.utility.Execute\"?new()}",
        "{{['id']|filter('system')}}",
        "${$foo->bar}(200)",
        "${'ff'}",
        "@{[system 'id']}",
        "{php}phpinfo(){/php}",
    ];
    let others = [
        "{{name}}",
        "${name}",
        "#{count}",
        "{{ user.name }}",
        "{% if x %}",
        "{\"a\":1}",
        "a*b",
        "7*7",
        "50%",
        "[1,2]",
        "@me",
        "<%= title %>",
        "{{first}} {{last}}",
        "${HOME}",
        "(7*7)",
        "{7}",
        "100%*2",
        "[[link]]",
        "[[wiki page]]",
        "*bold*",
        "{{ t('hello') }}",
        "${price} dollars",
        "#hashtag",
        "{0}",
        "{{1}}",
    ];
    check(template::find, &attacks, &others);
}

#[test]
fn scripts_for_browsers_are_found() {
    let attacks = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<svg/onload=alert(1)>",
        "\"><svg onload=alert(1)>",
        "' onfocus=alert(1) autofocus='",
        "\" onmouseover=\"x",
        "javascript:alert(1)",
        "<a href=javascript:alert(1)>",
        "self[\"alert\"](1)",
        "window['ev'+'al'](1)",
        "top[/*x*/\"alert\"]",
        "<x onanything=1>",
        "<iframe src=//x>",
        "<body onpageshow=x()>",
        "java\nscript:alert(1)",
        "document.cookie",
        "alert(document.domain)",
        "<object data=x>",
        "String.fromCharCode(88)",
        "<xss id=x>",
        "<embed src=x>",
        "vbscript:msgbox(1)",
        "<details/open/ontoggle=a()>",
        "[].constructor",
        "+ADw-script+AD4-",
        "<base href=//x>",
        "(document)[\"cookie\"]",
    ];
    let others = [
        "a < b",
        "1 <2",
        "<3",
        "<b>bold</b>",
        "x<y>z",
        "on time = good",
        "turn on=off",
        "alert",
        "the javascript: a language",
        "email <a@b.example>",
        "<p>text</p>",
        "online=1",
        "a > b",
        "document",
        "self[0]",
        "only = one",
        "<br>",
        "it's on = yes",
        "window seat",
        "top 10",
        "I <3 you",
        "\"quoted\"",
        "the alert was loud",
        "image.onload",
        "<i>x</i>",
    ];
    check(|value| script::find(value, false), &attacks, &others);
}

#[test]
fn a_page_that_is_stored_is_no_script() {
    assert!(
        script::find(
            b"<p>a</p><iframe src='https://video.example/1'></iframe>",
            true
        )
        .is_none()
    );
    assert!(script::find(b"<img src=x onerror=alert(1)>", true).is_some());
}

#[test]
fn calls_in_php_are_found() {
    let attacks = [
        "(system)(ls)",
        "(system)(ls);",
        "(\"sys\".\"tem\")(\"ls\")",
        "\"system\"(ls)",
        "'system'('id')",
        "[system][0](ls)",
        "(['system'])[0]('uname')",
        "$f(1)",
        "$_[0](1)",
        "$a['b'] (1)",
        "$$z(29)",
        "$_get(1)",
        "system(whoami)",
        "phpinfo()",
        "eval($x)",
        "@assert($x)",
        "get_defined_vars()",
        "passthru('id');",
        "shell_exec(ls)",
        "var_dump(1);",
        "exec(\"id\")",
        "print_r(1)",
        "file_get_contents('x')",
    ];
    let others = [
        "(a) (b) c",
        "f(x)",
        "[link](https://example.com)",
        "hello (world)",
        "$5 (five)",
        "(see)",
        "rgb(1,2,3)",
        "count(x)",
        "file system(s)",
        "$(document)",
        "\"a\" (b)",
        "sum(rate(x[5m]))",
        "(1)(2)",
        "the exec(utive)",
        "name (nick)",
        "(x)",
        "translate(10px)",
        "$price",
        "url(x.png)",
        "'it' is (so)",
        "system",
        "eval",
        "$100",
    ];
    check(code::find, &attacks, &others);
}
