{#- What a vendor's own schema settles, by the name that the var `events_preset` can have: the sources
    of columns, as in the var `events_columns`, which goes before it. What no vendor knows, as which
    property is the status, the user must tell; what a vendor has no place for is absent until the
    user tells where it is. Ids are text. Meant are:
    - `segment`, `rudderstack`: the messages of track calls, as they are written to object stores;
    - `ga4`: the export to BigQuery, whose events have no id of their own;
    - `snowplow`: the table atomic.events;
    - `mixpanel`: the export of raw events, with seconds since 1970, of old projects in their own zone;
    - `amplitude`: the files of the export interface;
    - `mux`: the daily export of views, a row a view, with milliseconds of watch time. -#}
{% macro event_presets() %}
    {%- set unless_told = {
        'region': 'absent', 'regulation': 'absent', 'user_age': 'absent',
        'session_duration_minutes': 'absent', 'concurrent_streams': 'absent', 'data_shared': 'absent',
    } -%}
    {%- set track_calls = {
        'event_id': 'messageId', 'timestamp': 'timestamp', 'event_type': 'event',
        'user_id': {'sql': 'coalesce(cast(userId as varchar), cast(anonymousId as varchar))'},
    } -%}
    {%- set presets = {
        'segment': track_calls,
        'rudderstack': track_calls,
        'ga4': {
            'event_id': 'absent', 'timestamp': 'event_timestamp', 'event_type': 'event_name',
            'user_id': {'sql': 'coalesce(cast(user_id as varchar), cast(user_pseudo_id as varchar))'},
        },
        'snowplow': {
            'event_id': 'event_id', 'timestamp': 'derived_tstamp', 'event_type': 'event_name',
            'user_id': {'sql': 'coalesce(cast(user_id as varchar), cast(domain_userid as varchar))'},
        },
        'mixpanel': {
            'event_id': 'properties.$insert_id', 'timestamp': 'properties.time',
            'event_type': 'event', 'user_id': 'properties.distinct_id',
        },
        'amplitude': {
            'event_id': 'uuid', 'timestamp': 'event_time', 'event_type': 'event_type',
            'user_id': {'sql': 'coalesce(cast(user_id as varchar), cast(amplitude_id as varchar))'},
        },
        'mux': {
            'event_id': 'view_id', 'timestamp': 'view_start', 'event_type': 'absent',
            'user_id': 'viewer_user_id',
            'session_duration_minutes': {'sql': 'cast(watch_time as double) / 60000'},
        },
    } -%}
    {%- set found = {} -%}
    {%- for vendor, columns in presets.items() -%}
        {%- set told = {} -%}
        {%- do told.update(unless_told) -%}
        {%- do told.update(columns) -%}
        {%- do found.update({vendor: {'columns': told}}) -%}
    {%- endfor -%}
    {{- return(found) -}}
{% endmacro %}

{% macro events_preset() %}
    {{- return(event_presets().get(var('events_preset'), {})) -}}
{% endmacro %}

{#- The type of an id: text with a preset, else as the var says. -#}
{% macro id_type(column) %}
    {{- return('varchar' if var('events_preset') != 'none' else var(column ~ '_type')) -}}
{% endmacro %}
