// Runs before OHIF: where it is served, and how it loads a part by name.
console.time('scriptToView');
window.PUBLIC_URL = '/viewer/';
function browserImportFunction(moduleId) {
  return import(moduleId.replace(/^\//, window.PUBLIC_URL));
}
