{#- Why a raw row can be rejected: for each column of an event what is wrong with any value of its kind,
    then its own rules. A column gives the first reason that applies. -#}
{% macro rejection_reasons() %}
    {%- set reasons = [] -%}
    {%- for column in event_columns() -%}
        {%- for rule in rules_of(column) -%}
            {%- do reasons.append({
                'rejection_reason': reason_code(column, rule),
                'display_order': reasons | length + 1,
                'column_name': column.name,
                'condition': rule.condition,
                'bound': bound_in_words(rule.get('bounds'), column.get('unit')),
                'description': rule.sentence,
                'hint': rule.hint,
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{- return(reasons) -}}
{% endmacro %}

{% macro rules_of(column) %}
    {{- return(rules_of_kind(column) + column.get('rules', [])) -}}
{% endmacro %}

{% macro reason_code(column, rule) %}
    {{- return(column.name ~ '_' ~ rule.code) -}}
{% endmacro %}

{#- What is wrong with a value of the column's kind that is missing or cannot be read. -#}
{% macro rules_of_kind(column) %}
    {%- set missing = {
        'code': 'missing', 'condition': 'missing', 'sentence': 'The ' ~ column.noun ~ ' is empty',
        'hint': 'Fill it in',
    } -%}
    {%- set others = {
        'id': [{
            'code': 'not_an_integer', 'condition': 'unreadable',
            'sentence': 'The ' ~ column.noun ~ ' is no whole number of up to 64 bits in digits',
            'hint': 'Write it in digits alone',
        }],
        'timestamp': [{
            'code': 'unreadable', 'condition': 'unreadable',
            'sentence': 'The ' ~ column.noun ~ ' is not a real moment written YYYY-MM-DD HH:MM:SS'
                ~ ' (T as separator and fractions and Z or +HH:MM are read too)',
            'hint': 'Write it like that, with an offset where it is not in UTC',
        }],
        'member': [{
            'code': 'unknown', 'condition': 'unknown',
            'sentence': 'The ' ~ column.noun ~ ' is not in seeds/' ~ column.seed ~ '.csv',
            'hint': 'Mend it, or add it to the seed if it is right',
        }],
        'integer': [{
            'code': 'not_an_integer', 'condition': 'unreadable',
            'sentence': 'The ' ~ column.noun ~ ' is no whole number in digits',
            'hint': 'Write it in digits alone',
        }],
        'number': [
            {
                'code': 'not_a_number', 'condition': 'unreadable',
                'sentence': 'The ' ~ column.noun ~ ' is no number in decimal notation',
                'hint': 'Write it in digits with a decimal point',
            },
            {
                'code': 'not_finite', 'condition': 'infinite',
                'sentence': 'The ' ~ column.noun ~ ' is infinite or not a number (nan)',
                'hint': 'Look for a division by zero where it is computed',
            },
        ],
    } -%}
    {{- return(([missing] if column.get('is_required', true) else []) + others[column.kind]) -}}
{% endmacro %}

{#- `0 to 120 years`, `100 streams`; none where a rule has no bound. -#}
{% macro bound_in_words(bounds, unit) %}
    {{- return((bounds | join(' to ') ~ (' ' ~ unit if unit else '')) if bounds else none) -}}
{% endmacro %}
