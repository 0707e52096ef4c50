-- service_request becomes a view over service_request_row: the same columns, but two long texts that many rows
-- repeat are kept once, in source_text. What a request has in a column of its own stays there, so the view can be
-- changed and deleted from like a table, but for these two columns.

alter table nyc311.service_request rename to service_request_row;

alter table nyc311.service_request_row
    add column source_row_id              text,
    add column address_type               text,
    -- the numbers that the portal gives the areas in which it found the point
    add column zip_region                 integer,
    add column community_district_region  smallint,
    add column borough_region             smallint,
    add column council_district_region    smallint,
    add column police_precinct_region     smallint,
    -- which fields of the source follow from the columns: see source_details()
    add column implied                    smallint,
    -- where the text of the column is in source_text
    add column agency_name_id             bigint,
    add column resolution_description_id  bigint,
    -- rows are half as wide, so a page that has room for this much has room for as many new versions as before
    set (fillfactor = 80);

-- Texts of the source, each once. text_id is the beginning of the SHA-256 of the text, so that whoever writes one
-- knows its number; a text whose number another one has stays in its row.
create table nyc311.source_text (
    text_id  bigint primary key,
    value    text not null
);

create view nyc311.service_request as
select unique_key, source_updated_at, source_version, rules_revision, source_created_at, created_at, closed_at, due_at,
       resolution_updated_at, response_hours, first_seen_at, last_changed_at, withdrawn_at, duplicate_of, quality_flags,
       status, state, is_open, agency,
       coalesce(agency_name, (select t.value from nyc311.source_text t where t.text_id = r.agency_name_id)) as agency_name,
       complaint_type, category, descriptor, descriptor_2, location_type, open_data_channel_type,
       coalesce(resolution_description,
                (select t.value from nyc311.source_text t where t.text_id = r.resolution_description_id))
           as resolution_description,
       borough, incident_zip, city, incident_address, street_name, cross_street_1, cross_street_2, intersection_street_1,
       intersection_street_2, landmark, bbl, latitude, longitude, x_state_plane, y_state_plane, community_board,
       community_district, council_district, police_precinct, nta2020, zcta, stated, details,
       source_row_id, address_type, zip_region, community_district_region, borough_region, council_district_region,
       police_precinct_region, implied
from nyc311.service_request_row r;

-- Every field of the source that has no column: those in details, and those that follow from the columns. Each bit
-- of `implied` stands for a field that said exactly this.
create function nyc311.source_details(request nyc311.service_request) returns jsonb
language sql immutable parallel safe
-- degrees in their shortest form, whatever the session says
set extra_float_digits = 1
return nullif(
    coalesce((request).details, '{}')
    || case when (request).implied & 1 <> 0 then jsonb_build_object(
           'location', jsonb_build_object(
               'latitude', (request).latitude::text,
               'longitude', (request).longitude::text,
               'human_address', '{"address": "", "city": "", "state": "", "zip": ""}'))
       else '{}' end
    || case when (request).implied & 2 <> 0 then jsonb_build_object('park_borough', (request).borough) else '{}' end
    || case when (request).implied & 4 <> 0 then jsonb_build_object('park_facility_name', 'Unspecified') else '{}' end,
    '{}');

-- Whoever might read or change the table may do so with the view. A view of somebody's own over the table follows
-- the rows, in which the two texts are missing from now on.
do $$
declare
    next record;
begin
    for next in
        select case when a.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
               a.privilege_type, a.is_grantable
        from pg_class c, aclexplode(c.relacl) a
        where c.oid = 'nyc311.service_request_row'::regclass and a.grantee <> c.relowner
          and a.privilege_type in ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    loop
        execute format('grant %s on nyc311.service_request to %s%s', next.privilege_type, next.grantee,
                       case when next.is_grantable then ' with grant option' else '' end);
    end loop;
    for next in
        select distinct v.oid::regclass as name
        from pg_depend d
        join pg_rewrite w on w.oid = d.objid
        join pg_class v on v.oid = w.ev_class
        where d.classid = 'pg_rewrite'::regclass and d.refobjid = 'nyc311.service_request_row'::regclass
          and v.relnamespace <> 'nyc311'::regnamespace
    loop
        raise warning 'the view % reads nyc311.service_request_row from now on, where agency_name and resolution_description '
            'are null in rows that are written anew: create it again over nyc311.service_request', next.name;
    end loop;
end
$$;
