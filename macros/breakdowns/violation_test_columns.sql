{#- The statistics of a member, from its row of violation_tests; members without events have none.
    `is_judged` is a condition that keeps a verdict from members that are not to be judged. -#}
{% macro violation_test_columns(tests, is_judged='true') -%}
    {{ tests }}.violation_rate_low,
    {{ tests }}.violation_rate_high,
    {{ tests }}.rate_difference,
    {{ tests }}.detectable_difference,
    {{ tests }}.p_value,
    {{ tests }}.p_adjusted,
    case when {{ is_judged }} then coalesce({{ tests }}.verdict, 'too_few') else 'too_few' end
        as verdict
{%- endmacro %}
