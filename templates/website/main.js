const button = document.getElementById('count');
let presses = 0;
button.addEventListener('click', () => {
  presses += 1;
  button.textContent = `Pressed ${presses} time${presses === 1 ? '' : 's'}`;
});
