// Runs before OHIF: where it is served, how it loads a part by name, and a name that it lacks.
window.PUBLIC_URL = '/viewer/';
// A part that comes from the browser's cache asks for Node's name of its file, and fails without.
window.__filename = '/viewer/';
function browserImportFunction(moduleId) {
  return import(moduleId.replace(/^\//, window.PUBLIC_URL));
}
console.time('scriptToView');
