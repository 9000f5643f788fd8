{#- What events are grouped by, in the order of findings. Of each:
    - `columns`: those of an accepted event that make the member; its text joins them by ` / `;
    - `counted_with`: the pass over the events of a day that counts it, with dimensions whose columns have
      few values together;
    - `seed`: the reference data that has its members in a column of the same name; where there is none,
      `members` says how they are known, and `int_members` lists them;
    - `label`, for headings, `singular` and `plural`, for sentences;
    - `is_tested`, unless told otherwise: whether its members are tested for differences;
    - `needs`: the columns of an event that it is made from, where these are not `columns`;
    - `is_further`: whether it is one of the var `events_dimensions`;
    - `is_absent`: whether the platform has no such thing; then it has no members. -#}
{% macro dimensions() %}
    {%- set dimensions = [
        {
            'dimension': 'region', 'columns': ['region'], 'counted_with': 'place', 'seed': 'regions',
            'label': 'Region', 'singular': 'region', 'plural': 'regions',
        },
        {
            'dimension': 'regulation', 'columns': ['regulation'], 'counted_with': 'place',
            'seed': 'regulations',
            'label': 'Regulation', 'singular': 'regulation', 'plural': 'regulations',
        },
        {
            'dimension': 'region_and_regulation', 'columns': ['region', 'regulation'],
            'counted_with': 'place', 'members': 'every combination',
            'label': 'Region and regulation',
            'singular': 'combination of region and regulation',
            'plural': 'combinations of region and regulation',
        },
        {
            'dimension': 'event_type', 'columns': ['event_type'], 'counted_with': 'kind',
            'seed': 'event_types',
            'label': 'Event type', 'singular': 'event type', 'plural': 'event types',
        },
        {
            'dimension': 'data_shared', 'columns': ['data_shared'], 'counted_with': 'kind',
            'seed': 'data_sharing_levels',
            'label': 'Data sharing',
            'singular': 'data sharing level', 'plural': 'data sharing levels',
        },
        {
            'dimension': 'event_hour', 'columns': ['event_hour'], 'counted_with': 'hour',
            'members': 'every hour',
            'label': 'Hour of the day',
            'singular': 'hour of the day (UTC)', 'plural': 'hours of the day',
        },
        {
            'dimension': 'age_band', 'columns': ['age_band'], 'counted_with': 'kind',
            'members': 'by the var age_band_starts', 'needs': ['user_age'],
            'label': 'Age band', 'singular': 'age band', 'plural': 'age bands',
        },
        {
            'dimension': 'concurrent_streams', 'columns': ['concurrent_streams'],
            'counted_with': 'kind', 'members': 'as they occur',
            'label': 'Concurrent streams',
            'singular': 'number of concurrent streams', 'plural': 'numbers of concurrent streams',
        },
        {
            'dimension': 'weekday', 'columns': ['weekday'], 'counted_with': 'place',
            'seed': 'weekdays',
            'label': 'Day of the week',
            'singular': 'day of the week (UTC)', 'plural': 'days of the week',
        },
        {
            'dimension': 'event_date', 'columns': ['event_date'], 'counted_with': 'place',
            'members': 'every day from the first event to the last',
            'label': 'Day', 'singular': 'day', 'plural': 'days',
        },
        {
            'dimension': 'risk_tier', 'columns': ['risk_tier'], 'seed': 'risk_tiers',
            'needs': ['user_id'],
            'is_tested': false,
            'label': 'Risk tier', 'singular': 'risk tier', 'plural': 'risk tiers',
        },
    ] -%}
    {%- for name in var('events_dimensions') -%}
        {%- set words = name | replace('_', ' ') -%}
        {%- do dimensions.append({
            'dimension': name, 'columns': [name], 'counted_with': name, 'is_further': true,
            'members': 'as they occur; the rarest together as other',
            'label': words | capitalize, 'singular': words, 'plural': 'values of ' ~ words,
        }) -%}
    {%- endfor -%}
    {%- set absent = event_columns() | selectattr('is_absent') | map(attribute='value') | list -%}
    {%- for dimension in dimensions -%}
        {%- do dimension.update({
            'is_absent': dimension.get('needs', dimension.columns) | select('in', absent) | list | length > 0,
            'display_order': loop.index,
            'member_columns': dimension.columns | join(','),
            'members': dimension.get('members', 'seeds/' ~ dimension.get('seed') ~ '.csv'),
            'is_tested': dimension.get('is_tested', true),
            'is_further': dimension.get('is_further', false),
        }) -%}
    {%- endfor -%}
    {{- return(dimensions) -}}
{% endmacro %}

{% macro tested_dimensions() %}
    {{- return(dimensions() | selectattr('is_tested') | rejectattr('is_absent') | list) -}}
{% endmacro %}

{#- Those of the var `events_dimensions`: a family of tests of their own. -#}
{% macro further_dimensions() %}
    {{- return(tested_dimensions() | selectattr('is_further') | list) -}}
{% endmacro %}

{#- How many tests of dimensions are adjusted together, without the further ones. -#}
{% macro tests_of_dimensions() %}
    {{- return(tested_dimensions() | rejectattr('is_further') | list | length) -}}
{% endmacro %}

{#- What the mix of events is made of. Members are compared within each part of it, too: one whose mix
    is another has another rate, without differing in anything else. -#}
{% macro mix_columns() %}
    {%- set absent = event_columns() | selectattr('is_absent') | map(attribute='value') | list -%}
    {{- return(['event_type', 'data_shared'] | reject('in', absent) | list) -}}
{% endmacro %}

{#- The part of the mix that an event belongs to, as text: by the columns that make no member. -#}
{% macro stratum_of(dimension) -%}
    {{ member_text(mix_columns() | reject('in', dimension.columns) | list) or "'all'" }}
{%- endmacro %}

{#- A member as text, from the columns that make it; what is missing is `unknown`. -#}
{% macro member_text(columns) -%}
    {%- for column in columns -%}
        {{ " || ' / ' || " if not loop.first }}coalesce({{ as_text(column) }}, 'unknown')
    {%- endfor -%}
{%- endmacro %}

{#- Whether a value is missing that makes a member. Such a one is last, and never judged. -#}
{% macro is_unknown_member(member) -%}
    (' / ' || {{ member }} || ' / ' like '% / unknown / %')
{%- endmacro %}
