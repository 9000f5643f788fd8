{#- The bands of ages in their order, from the ages at which each but the first begins: what an `age_band` is
    called, and the age that it ends `below`; the last one has no end. -#}
{% macro age_bands() %}
    {%- set starts = var('age_band_starts') -%}
    {%- set bands = [{'age_band': 'under ' ~ starts[0], 'below': starts[0]}] -%}
    {%- for start in starts -%}
        {%- set last = loop.nextitem - 1 if loop.nextitem is defined else none -%}
        {%- do bands.append({
            'age_band': start ~ ('+' if last is none else '-' ~ last if last > start else ''),
            'below': none if last is none else last + 1,
        }) -%}
    {%- endfor -%}
    {%- for band in bands -%}
        {%- do band.update({'display_order': loop.index}) -%}
    {%- endfor -%}
    {{- return(bands) -}}
{% endmacro %}
