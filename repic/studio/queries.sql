-- How many examples are there, by objective, kind and split?
select objective, kind, split, count(*) as examples from examples group by all order by all

-- How many rows show a crop of the query itself as the reference, and how many only other photos?
select objective, kind, origin, count(*) as examples,
    round(count(*) / sum(count(*)) over (partition by objective), 3) as share
from examples where origin is not null group by objective, kind, origin order by all

-- The share of each language among the names of each objective. (VLT has no names.)
select objective, r.locale as language, count(*) as names,
    round(count(*) / sum(count(*)) over (partition by objective), 3) as share
from examples, unnest("references") as t(r) group by objective, r.locale order by all

-- Which pairs did the latest dataset add against version 1?
select pair_id, kind, band, similarity, anchor_uri, other_uri
from pair_photos anti join v1.pairs using (pair_id) order by pair_id

-- The hardest negatives of each category: the most similar different objects.
select o.label, p.similarity, p.anchor_id, p.other_id
from pairs p join objects o on o.object_id = p.anchor_id
where p.kind = 'negative'
qualify row_number() over (partition by o.label order by p.similarity desc, p.pair_id) <= 3
order by o.label, p.similarity desc

-- The photos of the least similar positives.
select anchor_uri, other_uri, similarity, percentile from pair_photos
where kind = 'positive' order by similarity limit 10

-- Which source did each example come from? (That of its query photo.)
select s.source, s.kind, s.path, s.licence, e.objective, count(*) as examples
from examples e
join images i on i.image_id = e.images[-1].image_id
join sources s on s.source = i.source
group by all order by all

-- Which detector drew this box?
select distinct o.object_id, l.detail->>'$.kind' as kind, o.detector, o.confidence
from objects o join lineage l on l.input_fingerprint = o.detector
where l.name = 'detections' and l.input_name like 'detector%' order by o.object_id

-- How similar are positives and the three bands of negatives?
select kind, band, count(*) as pairs, round(avg(similarity), 3) as mean,
    round(quantile_cont(similarity, 0.05), 3) as p5, round(quantile_cont(similarity, 0.95), 3) as p95
from pairs group by all order by all

-- Pairs that wait for a review, the most suspicious first.
select pair_id, kind, similarity, percentile from pairs where doubtful and review is null
order by percentile desc

-- Near-duplicates, including those across folders.
select near_duplicate_group, list(uri) as photos from images
group by near_duplicate_group having count(*) > 1

-- Photos with exact copies elsewhere.
select uri, also_at from images where len(also_at) > 0

-- How many inputs were refused, and why?
select stage, error, count(*) as inputs, min(uri) as example from quarantine group by all

-- The share of each locale among all names.
select r.locale, count(*) as names, round(count(*) / sum(count(*)) over (), 3) as share
from examples, unnest("references") as t(r) group by r.locale order by names desc

-- How often is a named reference present?
select kind, round(avg(r.present::int), 3) as present from examples, unnest("references") as t(r)
where objective = 'ict' group by kind order by kind

-- How large are the objects that VLT localizes?
select width_bucket.bucket, count(*) from (
    select floor(10 * o.area_share) / 10 as bucket from examples e
    join objects o on o.image_id = e.images[-1].image_id
    where e.objective = 'vlt' and o.x1 = e.box[1] and o.y1 = e.box[2]
) as width_bucket group by all order by all

-- How often was each template drawn?
select template_id, count(*) from examples group by all order by all

-- Is any identity group in two splits? (It must not be.)
select "group", list(distinct split) as splits from groups
where split is not null group by "group"
having count(distinct split) > 1 and count(distinct image_id) > 1

-- The pairs and photos behind an example.
select e.example_id, p.kind, p.similarity, a.uri as reference, q.uri as query
from examples e, unnest(e.pair_ids) as t(pair_id)
join pairs p using (pair_id)
join images a on a.image_id = p.anchor_image_id
join images q on q.image_id = p.other_image_id
where e.objective = 'ict' order by e.example_id limit 5

-- All versions with their sizes.
select ref, kind, rows, bytes, created, latest, tags from artifacts order by created desc

-- Which versions did a dataset bind?
select version, input_name, input_version from lineage where name = 'dataset' order by all
