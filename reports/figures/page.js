"use strict";
// Sorts the table of all rows by the column whose head is clicked; a second click turns it round.
for (const [column, head] of document.querySelectorAll("#all thead th").entries()) {
	const button = document.createElement("button");
	button.type = "button";
	button.append(...head.childNodes);
	head.append(button);
	button.addEventListener("click", () => {
		const down = head.getAttribute("aria-sort") === "ascending";
		for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
		head.setAttribute("aria-sort", down ? "descending" : "ascending");
		const value = row => row.cells[column].dataset.sort ?? row.cells[column].textContent;
		const body = document.querySelector("#all tbody");
		const rows = Array.from(body.rows).sort((a, b) => value(a).localeCompare(value(b), "en", {numeric: true}));
		const numbers = Array.from(body.rows).some(row => row.cells[column].dataset.sort);
		if (numbers) rows.sort((a, b) => Number(value(a) === "–" ? -1 : value(a)) - Number(value(b) === "–" ? -1 : value(b)));
		body.append(...(down ? rows.reverse() : rows));
	});
}
