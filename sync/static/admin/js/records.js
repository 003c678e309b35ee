// Tick or untick every record of the page with the box in the heading.
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
