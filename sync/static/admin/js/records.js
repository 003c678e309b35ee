// Select or clear every record on the page with the checkbox in the heading.
document.getElementById("action-toggle")?.addEventListener("change", (event) => {
    for (const box of document.querySelectorAll("input.action-select")) {
        box.checked = event.target.checked;
        box.closest("tr").classList.toggle("selected", box.checked);
    }
});
document.getElementById("result_list")?.addEventListener("change", (event) => {
    if (event.target.matches("input.action-select")) {
        event.target.closest("tr").classList.toggle("selected", event.target.checked);
    }
});
