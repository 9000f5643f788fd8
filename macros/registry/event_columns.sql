{#- The columns of an event as the platform sends it, in the order of the file, which is also that of
    the reasons for rejection; then those of the var `events_dimensions`, any text. Of each:
    - `value`: the name of what was read from it;
    - `kind`: `id`, `timestamp`, `member`, `integer`, `number` or `attribute`; it decides how a value is read, and
      which reasons speak against one that is missing or cannot be read;
    - `noun` and `unit`, for sentences;
    - `type`, of an id: that of its values, as the var `event_id_type` or `user_id_type` says;
    - of a member, `seed`: the known ones, in a column of the same name;
    - `is_required`, by the var `required_columns`: whether a row without a value is rejected;
    - `is_absent`, by the var `events_columns`: whether the platform has no such thing;
    - `rules`: what else a value that was read must keep to. A rule has a `code`, the `condition` that
      breaks it (one of those in `breaks_rule`) with its `bounds`, a `sentence` and a `hint`. -#}
{% macro event_columns() %}
    {%- set columns = [
        {
            'name': 'event_id', 'value': 'event_id', 'kind': 'id', 'noun': 'event id',
            'type': id_type('event_id'),
            'rules': [{
                'code': 'conflicting', 'condition': 'conflicting',
                'sentence': 'Rows with different content carry the same event id',
                'hint': 'Find out which of the rows is right, and send it alone',
            }],
        },
        {
            'name': 'timestamp', 'value': 'occurred_at', 'kind': 'timestamp', 'noun': 'timestamp',
            'rules': [
                {
                    'code': 'too_early', 'condition': 'early', 'bounds': [var('earliest_timestamp')],
                    'sentence': 'The timestamp lies before the var earliest_timestamp',
                    'hint': 'Mend the clock or the format that wrote it, or lower the var',
                },
                {
                    'code': 'in_future', 'condition': 'future', 'bounds': [var('latest_timestamp')],
                    'sentence': 'The timestamp lies after the var latest_timestamp',
                    'hint': 'Mend the clock or the zone that wrote it; for live data set the var to now',
                },
            ],
        },
        {
            'name': 'user_id', 'value': 'user_id', 'kind': 'id', 'noun': 'user id',
            'type': id_type('user_id'),
        },
        {
            'name': 'region', 'value': 'region', 'kind': 'member', 'noun': 'region',
            'seed': 'regions',
        },
        {
            'name': 'regulation', 'value': 'regulation', 'kind': 'member', 'noun': 'regulation',
            'seed': 'regulations',
        },
        {
            'name': 'event_type', 'value': 'event_type', 'kind': 'member', 'noun': 'event type',
            'seed': 'event_types',
        },
        {
            'name': 'status', 'value': 'status', 'kind': 'member', 'noun': 'status',
            'seed': 'statuses',
        },
        {
            'name': 'user_age', 'value': 'user_age', 'kind': 'integer', 'noun': 'age', 'unit': 'years',
            'rules': [{
                'code': 'out_of_range', 'condition': 'outside',
                'bounds': [var('minimum_user_age'), var('maximum_user_age')],
                'sentence': 'The age lies outside the vars minimum_user_age and maximum_user_age',
                'hint': 'Mend the age, or move the vars',
            }],
        },
        {
            'name': 'session_duration_minutes', 'value': 'session_duration_minutes', 'kind': 'number',
            'noun': 'session duration', 'unit': 'minutes',
            'rules': [
                {
                    'code': 'negative', 'condition': 'below', 'bounds': [0],
                    'sentence': 'The session duration is below zero',
                    'hint': 'Look whether the session ends before it begins',
                },
                {
                    'code': 'too_long', 'condition': 'above',
                    'bounds': [var('maximum_session_duration_minutes')],
                    'sentence':
                        'The session duration lies above the var maximum_session_duration_minutes',
                    'hint': 'Look whether it is in seconds or its session never ended, or raise the var',
                },
            ],
        },
        {
            'name': 'concurrent_streams', 'value': 'concurrent_streams', 'kind': 'integer',
            'noun': 'number of streams', 'unit': 'streams',
            'rules': [
                {
                    'code': 'negative', 'condition': 'below', 'bounds': [0],
                    'sentence': 'The number of streams is below zero',
                    'hint': 'Look whether another number stands in its column',
                },
                {
                    'code': 'too_many', 'condition': 'above',
                    'bounds': [var('maximum_concurrent_streams')],
                    'sentence': 'The number of streams lies above the var maximum_concurrent_streams',
                    'hint': 'Look whether another number stands in its column, or raise the var',
                },
            ],
        },
        {
            'name': 'data_shared', 'value': 'data_shared', 'kind': 'member',
            'noun': 'data sharing level', 'seed': 'data_sharing_levels',
        },
    ] -%}
    {%- for name, source in var('events_dimensions').items() -%}
        {%- do columns.append({
            'name': name, 'value': name, 'kind': 'attribute', 'noun': name, 'source': source,
        }) -%}
    {%- endfor -%}
    {%- set told = {} -%}
    {%- do told.update(events_preset().get('columns', {})) -%}
    {%- do told.update(var('events_columns')) -%}
    {%- for column in columns -%}
        {%- do column.update({
            'is_required': column.name in needed_columns() + var('required_columns'),
            'is_absent': told.get(column.name, column.get('source', '')) in ('absent', none),
        }) -%}
    {%- endfor -%}
    {{- return(columns) -}}
{% endmacro %}

{#- Without which an event is none, whatever the var `required_columns` says. -#}
{% macro needed_columns() %}
    {{- return(['event_id', 'timestamp', 'status']) -}}
{% endmacro %}

{% macro column_named(name) %}
    {{- return(event_columns() | selectattr('name', 'equalto', name) | first) -}}
{% endmacro %}

{#- Whether a column of an accepted event can be null, by its name there. -#}
{% macro may_be_missing(value) %}
    {%- set optional = event_columns() | rejectattr('is_required') | map(attribute='value') | list -%}
    {{- return(value in optional) -}}
{% endmacro %}

{#- Their names, with something before each. -#}
{% macro raw_event_columns(prefix='') %}
    {%- set names = [] -%}
    {%- for column in event_columns() -%}
        {%- do names.append(prefix ~ column.name) -%}
    {%- endfor -%}
    {{- return(names) -}}
{% endmacro %}

{#- Those of the staged events: what was read, the day, and what it was read from. -#}
{% macro staged_event_columns(prefix='') %}
    {%- set names = [] -%}
    {%- for column in event_columns() -%}
        {%- do names.append(prefix ~ column.value) -%}
    {%- endfor -%}
    {{- return(names + [prefix ~ 'source_date'] + raw_event_columns(prefix ~ 'raw_')) -}}
{% endmacro %}

{#- What tells the content of a staged row from that of another: its values, and text that is none. -#}
{% macro content_columns(prefix='') %}
    {%- set columns = [prefix ~ 'source_date'] -%}
    {%- for column in event_columns() -%}
        {%- do columns.append(prefix ~ column.value) -%}
        {%- do columns.append(
            'case when ' ~ prefix ~ column.value ~ ' is null then ' ~ as_text(prefix ~ 'raw_' ~ column.name) ~ ' end'
        ) -%}
    {%- endfor -%}
    {{- return(columns) -}}
{% endmacro %}
