{#- What the key findings speak of, in their order: the tested dimensions, then what is not of one. -#}
{% macro finding_topics() %}
    {{- return(
        tested_dimensions() | map(attribute='dimension') | list
        + ['warnings', 'unusual_days', 'trend', 'high_risk_users', 'input_quality']
    ) -}}
{% endmacro %}

{#- Tens, those of dimensions first, between which the findings of one topic have room. -#}
{% macro order_of_topic(topic) -%}
    {%- set others = finding_topics() | reject('in', dimensions() | map(attribute='dimension') | list) | list -%}
    {{ 10 * (dimensions() | length + others.index(topic) + 1) }}
{%- endmacro %}
