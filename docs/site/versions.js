// Which versions of the site lie beside this one; written by build.py. A script, since a page that is opened as a file may not read JSON.
document.querySelectorAll(".re2na-versions").forEach((place) => {
  const select = place.querySelector("select");
  const root = place.dataset.root || ".";
  for (const version of VERSIONS) {
    select.add(new Option(version, version, false, version === place.dataset.version));
  }
  select.addEventListener("change", () => { location.href = `${root}/../${select.value}/index.html`; });
  place.hidden = VERSIONS.length === 0;
});
