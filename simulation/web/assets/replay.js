// A control that acts when it is changed, without a button: the place in time of a replay.
document.addEventListener("change", event => {
  if (event.target.dataset.submitOnChange !== undefined) event.target.form.requestSubmit();
});
