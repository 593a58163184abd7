// A link from elsewhere comes without the cookie (SameSite=Strict): look whether we are logged in.
const root = document.documentElement.dataset.root;
const answer = await fetch(`${root}/session`);
if ((await answer.json()).in) {
  const to = document.querySelector("input[name=to]").value;
  location.replace(root + (/^\/(?![/\\])/.test(to) ? to : "/"));
}
