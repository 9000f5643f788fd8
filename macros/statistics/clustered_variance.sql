{#- Aggregate over users: the variance of an event with users as clusters, from their residuals. The
    residuals sum to zero, which makes their squares too small by the share that a user has of the
    events on average; null for a single user. -#}
{% macro clustered_variance(residual, events) -%}
    sum({{ residual }} * {{ residual }}) / sum({{ events }})
    / nullif(1 - sum({{ events }} * {{ events }}) / (sum({{ events }}) * sum({{ events }})), 0)
{%- endmacro %}
