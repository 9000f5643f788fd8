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

{#- The columns of an event that a rule speaks of; a text that may be missing has none. -#}
{% macro judged_columns() %}
    {%- set columns = [] -%}
    {%- for column in event_columns() if rules_of(column) -%}
        {%- do columns.append(column) -%}
    {%- endfor -%}
    {{- return(columns) -}}
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
        'hint': 'Name the column that has it in the var events_columns'
            ~ (', or take ' ~ column.name ~ ' out of the var required_columns if it may be missing'
                if column.name not in needed_columns()
                else ', or say `absent` for an id made of the other columns' if column.name == 'event_id'
                else ''),
    } -%}
    {%- set others = {
        'id': [{
            'code': 'not_an_integer', 'condition': 'unreadable',
            'sentence': 'The ' ~ column.noun ~ ' is no whole number of up to 64 bits with all its digits',
            'hint': 'Set the var ' ~ column.name ~ '_type to varchar, which keeps any text as it is; an id'
                ~ ' such as 1.00001E+15 has lost digits, and must be exported anew',
        }] if column.get('type') == 'bigint' else [],
        'timestamp': [{
            'code': 'unreadable', 'condition': 'unreadable',
            'sentence': 'The ' ~ column.noun ~ ' is no real moment in ISO 8601 (YYYY-MM-DD HH:MM:SS, with'
                ~ ' an offset or Z or without) nor a count of seconds, milli- or microseconds since 1970',
            'hint': 'Say how it is written in the var events_format, as in {timestampformat:'
                ~ " '%d/%m/%Y %H:%M'}, or convert it in the var events_columns by {sql: ...}; a date"
                ~ ' alone is no moment',
        }],
        'member': [{
            'code': 'unknown', 'condition': 'unknown',
            'sentence': 'The ' ~ column.noun ~ ' is not in seeds/' ~ column.seed ~ '.csv',
            'hint': 'Add it to the seed if it is right; translate it in the var events_columns by {sql:'
                ~ ' "case ' ~ column.name ~ " when 'x' then 'y' ... end" ~ '"} if it goes by another name',
        }],
        'integer': [{
            'code': 'not_an_integer', 'condition': 'unreadable',
            'sentence': 'The ' ~ column.noun ~ ' is no whole number',
            'hint': 'Convert it in the var events_columns by {sql: ...}',
        }],
        'number': [
            {
                'code': 'not_a_number', 'condition': 'unreadable',
                'sentence': 'The ' ~ column.noun ~ ' is no number in decimal notation',
                    'hint': 'Say in the var events_format how it is written, as in {decimal: ",", thousands:'
                    ~ ' "."}, or convert it in the var events_columns by {sql: ...}',
            },
            {
                'code': 'not_finite', 'condition': 'infinite',
                'sentence': 'The ' ~ column.noun ~ ' is infinite or not a number (nan)',
                'hint': 'Look for a division by zero where it is computed',
            },
        ],
    } -%}
    {{- return(([missing] if column.is_required else []) + others.get(column.kind, [])) -}}
{% endmacro %}

{#- `0 to 120 years`, `100 streams`; none where a rule has no bound. -#}
{% macro bound_in_words(bounds, unit) %}
    {{- return((bounds | join(' to ') ~ (' ' ~ unit if unit else '')) if bounds else none) -}}
{% endmacro %}
